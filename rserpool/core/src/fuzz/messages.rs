//! Messages: what can be read can be written, and then reads the same.

use rserpool_wire::{AsapMessage, EnrpMessage, Reaction};

/// An ASAP message.
pub(super) fn asap(data: &[u8]) {
    match AsapMessage::decode(data) {
        Ok(message) => {
            // Writing adds padding where it was missing, which can make the message too long.
            if let Ok(again) = message.encode() {
                assert_eq!(again.len() % 4, 0, "padding");
                assert_eq!(AsapMessage::decode(&again), Ok(message));
            }
        }
        Err(error) => {
            assert!(error.problem.to_string().len() < 250, "one line of a log");
            if let Reaction::Report(error) = error.reaction {
                AsapMessage::Error(error).encode().expect("a report can be written");
            }
        }
    }
}

/// An ENRP message.
pub(super) fn enrp(data: &[u8]) {
    let ids = EnrpMessage::ids(data);
    match EnrpMessage::decode(data) {
        Ok(message) => {
            assert_eq!(ids, Some((message.sender, message.receiver)));
            if let Ok(again) = message.encode() {
                assert_eq!(again.len() % 4, 0, "padding");
                assert_eq!(EnrpMessage::decode(&again), Ok(message));
            }
        }
        Err(error) => assert!(error.problem.to_string().len() < 250, "one line of a log"),
    }
}
