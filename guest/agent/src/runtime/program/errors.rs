//! What the program says when it fails, as failures.

use serde_json::Value;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    ProgramMissing,
    NotRunning,
    Other,
}

/// `msg` of the last line of a log in JSON, or the last line itself.
pub fn last_message(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| !line.trim().is_empty())?;
    let parsed: Option<Value> = serde_json::from_str(line).ok();
    let message = parsed.as_ref().and_then(|value| value.get("msg")).and_then(Value::as_str);
    Some(message.unwrap_or(line).trim().to_owned())
}

pub fn failure(stage: &'static str, status: i32, message: Option<&str>) -> Failure {
    let Some(message) = message else {
        return Failure::internal(stage, format!("it ended with wait status {status:#06x} and said nothing"));
    };
    let cause = cause(message);
    let what = match cause {
        Cause::ProgramMissing => format!("executable file not found: {message}"),
        Cause::NotRunning | Cause::Other => message.to_owned(),
    };
    Failure::new(cause.into(), stage, what)
}

/// crun 1.21: "executable file `x` not found in $PATH: No such file or directory", "the container `x` is not running".
/// runc 1.1: "… exec: \"x\": executable file not found in $PATH", "… exec: \"/x\": stat /x: no such file or directory",
/// "cannot start a container that has stopped".
fn cause(message: &str) -> Cause {
    let not_found = message.contains("executable file") && message.contains("not found");
    let no_file = message.contains("container process: exec: \"") && message.ends_with("no such file or directory");
    if not_found || no_file {
        return Cause::ProgramMissing;
    }
    let exited = message.starts_with("the container `") && message.ends_with("is not running");
    let exited = exited || message == "cannot start a container that has stopped";
    if exited { Cause::NotRunning } else { Cause::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    const LOG: &str = "{\"msg\":\"first\",\"level\":\"warning\"}\n\
        {\"msg\":\"executable file `nope` not found in $PATH: No such file or directory\",\"level\":\"error\"}\n";

    #[test]
    fn finds_the_last_message_of_a_log() {
        assert!(last_message(LOG).unwrap().starts_with("executable file `nope`"));
        assert_eq!(last_message("plain words\n\n"), Some("plain words".to_owned()));
        assert_eq!(last_message("\n"), None);
    }

    #[test]
    fn tells_a_missing_program_and_an_exited_container_from_everything_else() {
        let missing = failure("start exec", 0x100, last_message(LOG).as_deref());
        assert_eq!(missing.kind, Kind::NotFound);
        assert!(missing.to_string().starts_with("start exec: executable file not found"));
        assert_eq!(failure("start exec", 0x100, Some("mount `proc`: EPERM")).kind, Kind::Internal);
        let of_runc =
            "runc create failed: unable to start container process: exec: \"/x\": stat /x: no such file or directory";
        assert_eq!(failure("create session", 0x100, Some(of_runc)).kind, Kind::NotFound);
        assert!(failure("start exec", 0x100, None).to_string().contains("0x0100"));
    }
}
