//! The two kinds of names a client gives. They become directory and cgroup names, so nothing else may pass.

use crate::failure::Failure;

const SESSION_DIGITS: usize = 64;
const MAX_EXEC_CHARACTERS: usize = 64;

pub fn check_session(stage: &'static str, id: &str) -> Result<(), Failure> {
    let digits = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() == SESSION_DIGITS && digits {
        return Ok(());
    }
    Err(Failure::invalid(stage, format!("session id {id:?} is not 64 lower-case hex digits")))
}

pub fn check_exec(stage: &'static str, id: &str) -> Result<(), Failure> {
    let allowed = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !id.is_empty() && id.len() <= MAX_EXEC_CHARACTERS && allowed {
        return Ok(());
    }
    Err(Failure::invalid(stage, format!("exec id {id:?} is not 1 to 64 characters of [0-9a-zA-Z_-]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_names_that_are_safe_as_names_of_directories() {
        assert!(check_session("test", &"0a".repeat(32)).is_ok());
        for id in ["", "..", &"0A".repeat(32), &"0a".repeat(31), &format!("../{}", "0".repeat(61))] {
            assert!(check_session("test", id).is_err());
        }
        assert!(check_exec("test", "a-B_9").is_ok());
        for id in ["", ".", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(check_exec("test", id).is_err());
        }
    }
}
