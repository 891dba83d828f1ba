//! An error and its causes in one line, for people. Some errors quote their cause, others leave it to the chain: what
//! has been said already is not said again.

/// The words of `error` and of its causes.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if said.contains(&words) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&words);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_cause_is_said_once() {
        let quoted = Err::<(), _>(anyhow!("no such file")).context("writ.toml: no such file; check the path");
        assert_eq!(explain(&quoted.unwrap_err()), "writ.toml: no such file; check the path");
        let unquoted = Err::<(), _>(anyhow!("device busy")).context("queue 0 of tap0");
        assert_eq!(explain(&unquoted.unwrap_err()), "queue 0 of tap0: device busy");
    }
}
