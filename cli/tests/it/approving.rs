//! A second person's word: a purge that waits for it does not keep a terminal waiting, and whoever gives it sees that it goes.

use proto::v1::{Approval, ApprovalState, ApproveCommandRequest, ApproveCommandResponse, Command};

use crate::{
    examples::{COMMAND, accepted},
    fedctl::run,
    peer::Peer,
};

fn with(approval: Approval) -> Command {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Command {
        approval: Some(Approval {
            deadline: time(1_763_913_791),
            submitted_by: "participant/north/person/ann".to_owned(),
            ..approval
        }),
        ..accepted()
    }
}

fn waits() -> Command {
    with(Approval {
        state: ApprovalState::Waiting.into(),
        ..Approval::default()
    })
}

/// It is accepted and still to be approved: exit code 5, and the words to type for somebody else.
#[tokio::test]
async fn what_waits_for_a_second_person_is_told_at_once() {
    let (_peer, broker) = Peer::default().accepts(waits()).listen().await;
    let run = run(&broker, "purge shop --host www.example.com --yes").await;
    assert_eq!(run.code, Some(5), "{}", run.transcript());
    insta::assert_snapshot!(run.transcript());
}

/// The reason travels, and the answer says who has approved it.
#[tokio::test]
async fn an_approval_shows_whose_it_is() {
    let given = with(Approval {
        state: ApprovalState::Given.into(),
        approved_by: "operator/ops".to_owned(),
        approve_time: Some(prost_types::Timestamp {
            seconds: 1_763_827_400,
            nanos: 0,
        }),
        reason: "as agreed".to_owned(),
        ..Approval::default()
    });
    let peer = Peer::default();
    peer.approvals
        .lock()
        .expect("nobody panicked")
        .push_back(Ok(ApproveCommandResponse {
            command: Some(given),
        }));
    let (peer, broker) = peer.listen().await;
    let run = run(&broker, &format!("approve {COMMAND} --reason as_agreed")).await;
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    insta::assert_snapshot!(run.transcript());
    let asked = ApproveCommandRequest {
        command_id: COMMAND.to_owned(),
        reason: "as_agreed".to_owned(),
    };
    assert_eq!(*peer.approved.lock().expect("nobody panicked"), [asked]);
}
