//! Lines for people: the guest's console when PID 1, standard error on the host. Never fails: nobody could be told.

use std::io::Write;

/// One line to standard error.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("agent: {line}\n").as_bytes());
}

/// One line to standard output.
pub fn print(line: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
