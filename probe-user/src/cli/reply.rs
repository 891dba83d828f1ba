//! What a command makes of the probe's answer, whatever was asked.

use super::{CommandError, Outcome, output};
use crate::ipc::Reply;

/// Prints an answer: as JSON, or by `say`, which is not bothered with refusals and failures.
pub(super) fn show(reply: Reply, json: bool, say: impl FnOnce(Reply)) -> Result<Outcome, CommandError> {
    if json {
        output::json(&reply);
    }
    match reply {
        Reply::Refused { reasons } => {
            if !json {
                for reason in reasons {
                    output::complain(&format!("refused: {reason}"));
                }
            }
            Ok(Outcome::Negative)
        }
        Reply::Failed { error } => Err(CommandError::Failed(anyhow::anyhow!("{error}"))),
        reply => {
            if !json {
                say(reply);
            }
            Ok(Outcome::Done)
        }
    }
}
