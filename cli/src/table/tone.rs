//! What a word means to the eye.

use anstyle::{AnsiColor, Style};
use comfy_table::Color;

/// Good, bad or in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As wished.
    Good,
    /// Not as wished.
    Bad,
    /// Somebody should look.
    Doubtful,
    /// Under way.
    Busy,
    /// Nothing special.
    Plain,
}

impl Tone {
    pub(super) const fn color(self) -> Option<Color> {
        match self {
            Self::Good => Some(Color::DarkGreen),
            Self::Bad => Some(Color::DarkRed),
            Self::Doubtful => Some(Color::DarkYellow),
            Self::Busy => Some(Color::DarkCyan),
            Self::Plain => None,
        }
    }

    const fn style(self) -> Style {
        let color = match self {
            Self::Good => AnsiColor::Green,
            Self::Bad => AnsiColor::Red,
            Self::Doubtful => AnsiColor::Yellow,
            Self::Busy => AnsiColor::Cyan,
            Self::Plain => return Style::new(),
        };
        color.on_default()
    }
}

/// The tone of a state, an overall or a fidelity.
pub(crate) fn tone_of(word: &str) -> Tone {
    match word {
        "done" | "complete" | "processed" | "exact" | "verified" => Tone::Good,
        "failed" | "impossible" | "not_verified" => Tone::Bad,
        "partial" | "unsupported" | "expired" | "unanswered" | "unknown" | "cancelled"
        | "widened" | "narrowed" | "unproven" | "unprobed" => Tone::Doubtful,
        "active" | "dispatched" | "running" => Tone::Busy,
        _ => Tone::Plain,
    }
}

/// Text in the colour of a tone.
pub(crate) fn paint(text: &str, tone: Tone) -> String {
    let style = tone.style();
    format!("{style}{text}{style:#}")
}
