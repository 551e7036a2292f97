//! Every call × every caller × its own and another's resources, with certificates, on a real broker: all as this table says.
//!
//! Invariant: the calls are read from the contract, so that a new one without a row fails here; the rows are written down here
//! and not taken from the broker, so that a change of its table is seen in two places.

#![allow(
    clippy::print_stdout,
    reason = "the figures of a run are for whoever reads it"
)]

mod calls;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use calls::call;
use stage::{About, CALLERS, Caller, Stage};

/// What a caller gets: `+` all of it, `/` its part, `-` there is no such thing, `!` not allowed. In this order: an operator, the
/// owner, a host, a stranger. A list has what it shows of one.
const TABLE: &str = "
SubmitCommand            !+--
SubmitCommands           !+--
GetCommand               ++/-
ListCommands             ++--
WatchCommand             ++/-
CancelCommand            !+!-
ApproveCommand           ++!-
CreateParticipant        +!!!
GetParticipant           ++--
ListParticipants         ++--
UpdateParticipant        +!!!
DeleteParticipant        +!!!
ListParticipantProgress  ++--
IssueCredentials         ++--
CreateServer             ++--
GetServer                ++--
ListServers              ++--
UpdateServer             ++--
DeleteServer             ++--
CreateConfiguration      ++--
GetConfiguration         ++/-
ListConfigurations       ++/-
UpdateConfiguration      ++!-
DeleteConfiguration      ++!-
CreateDeployment         ++--
GetDeployment            +++-
ListDeployments          +++-
UpdateDeployment         +!+-
DeleteDeployment         ++!-
GrantDeployment          +!+-
RevokeDeployment         +!+-
PutMapping               +!!!
GetMapping               +-+-
ListMappings             +-+-
DeleteMapping            +!!!
ListDeadLetters          ++--
GetDeadLetter            ++--
RetryDeadLetters         ++--
DiscardDeadLetters       ++--
ListAudit                ++--
ListReceipts             ++--
";

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The caller was let to it, and whether it had all of it is looked at by the call itself.
    Whole,
    Part,
    Absent,
    Denied,
    /// Not let in at all.
    Nobody,
    /// Something that the test did not mean.
    Odd,
}

/// The contract's calls.
fn contract() -> Result<BTreeSet<String>> {
    let set = prost_types::FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET)?;
    let files = set.file.iter();
    let services = files
        .filter(|file| file.package() == "federation.v1")
        .flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    Ok(methods.map(|method| method.name().to_owned()).collect())
}

fn rows() -> BTreeMap<&'static str, Vec<Answer>> {
    let answer = |sign| match sign {
        '+' => Answer::Whole,
        '/' => Answer::Part,
        '-' => Answer::Absent,
        '!' => Answer::Denied,
        sign => panic!("{sign} is no sign of the table"),
    };
    let lines = TABLE.lines().filter(|line| !line.is_empty());
    let row = |line: &'static str| {
        let (call, signs) = line.split_once(' ').expect("a call and its row");
        (call, signs.trim().chars().map(answer).collect())
    };
    lines.map(row).collect()
}

fn expected(row: &[Answer], caller: Caller, own: bool) -> Answer {
    match caller {
        Caller::Operator => row[0],
        Caller::Owner if own => row[1],
        Caller::Host if own => row[2],
        Caller::Owner | Caller::Host | Caller::Stranger => row[3],
        Caller::Unregistered => Answer::Denied,
        Caller::None | Caller::Defect(_) => Answer::Nobody,
    }
}

fn read(outcome: &Result<Answer, Status>) -> Answer {
    let status = match outcome {
        Ok(answer) => return *answer,
        Err(status) => status,
    };
    let resource = status.get_error_details();
    let resource = resource
        .resource_info()
        .map(|info| info.resource_type.clone());
    match (status.code(), resource.as_deref()) {
        // The box is there for the caller, and a letter of this name is in none; or something else stands in the way of who may.
        (Code::NotFound, Some("dead letter")) | (Code::FailedPrecondition, _) => Answer::Whole,
        (Code::NotFound, _) => Answer::Absent,
        (Code::PermissionDenied, _) => Answer::Denied,
        (Code::Unauthenticated | Code::Unavailable | Code::Unknown | Code::Cancelled, _) => {
            Answer::Nobody
        }
        _ => Answer::Odd,
    }
}

/// What is hidden must be answered word for word like what nobody has.
async fn is_told_like_absent(
    stage: &mut Stage,
    (name, caller): (&str, Caller),
    about: &About,
    hidden: &Status,
) -> bool {
    let nothing = About::absent();
    let absent = call(name, stage.client(caller), &nothing).await;
    let Err(absent) = absent else {
        return false;
    };
    absent.code() == hidden.code() && nothing.veil(absent.message()) == about.veil(hidden.message())
}

/// Nobody gets in who does not belong, nobody reaches what is another's, and whoever may, can.
#[tokio::test]
async fn every_call_answers_every_caller_as_the_table_says() -> Result<()> {
    let rows = rows();
    let names: BTreeSet<String> = rows.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(contract()?, names, "a call has no row, or a row no call");
    let mut stage = Stage::start().await?;
    let (mut combinations, mut denied) = (0, 0);
    let mut wrong = Vec::new();
    for (&name, row) in &rows {
        for caller in CALLERS {
            for own in [true, false] {
                let about = stage.about(own);
                let outcome = call(name, stage.client(caller), &about).await;
                let (answer, expected) = (read(&outcome), expected(row, caller, own));
                combinations += 1;
                denied += u32::from(matches!(
                    answer,
                    Answer::Absent | Answer::Denied | Answer::Nobody
                ));
                let whose = if own { "owner's" } else { "another's" };
                if answer != expected {
                    wrong.push(format!(
                        "{name} by {caller:?} of the {whose}: {outcome:?} and not {expected:?}"
                    ));
                } else if let (Answer::Absent, Err(hidden)) = (answer, &outcome)
                    && !is_told_like_absent(&mut stage, (name, caller), &about, hidden).await
                {
                    wrong.push(format!(
                        "{name} by {caller:?} of the {whose}: {hidden:?} tells that it is there"
                    ));
                }
                if calls::changes(name) && expected == Answer::Whole {
                    stage.restore().await?;
                }
            }
        }
    }
    println!(
        "access: {combinations} combinations, {denied} denied, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
