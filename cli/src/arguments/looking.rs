//! Whether somebody looks afterwards, and at what.

use clap::Args;
use proto::v1::CommandDraft;

const HEADING: &str = "Proof (what each cache or vendor says, unless --verify)";

/// Whether somebody looks afterwards, and at what.
#[derive(Debug, Args)]
pub(crate) struct Looking {
    /// Look through each cache whether it was done, tell it again where old content comes back, and show the proof
    #[arg(long, help_heading = HEADING)]
    verify: bool,
    /// Look at this URL, for what names none itself, such as a prefix or a tag; may be repeated
    #[arg(long, value_name = "URL", requires = "verify", help_heading = HEADING)]
    probe_url: Vec<String>,
}

impl Looking {
    /// The draft with what was asked for.
    pub(crate) fn at(&self, draft: CommandDraft) -> CommandDraft {
        CommandDraft {
            verify: self.verify,
            probe_urls: self.probe_url.clone(),
            ..draft
        }
    }
}
