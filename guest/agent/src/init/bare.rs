//! `a3s.bare=1`: the least a guest can do, for the bench: one line to the console, then reboot.

use std::process::ExitCode;

use super::{Place, end};
use crate::console;

pub fn run() -> ExitCode {
    console::print("ready");
    end::reboot();
    end::end(Place::Guest);
    ExitCode::FAILURE
}
