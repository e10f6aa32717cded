use std::os::fd::AsRawFd;

use super::names;
use crate::failure::{Failure, Kind, while_doing};
use crate::pb;
use crate::server::service::Agent;

const STAGE: &str = "resize";

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, libc::winsize);

pub fn run(agent: &Agent, request: pb::ResizeRequest) -> Result<pb::ResizeResponse, Failure> {
    let (session, exec) = names(STAGE, request.process)?;
    let process = agent.sessions.process(STAGE, &session, &exec)?;
    let terminal = process.terminal.as_ref();
    let terminal = terminal.ok_or_else(|| Failure::new(Kind::State, STAGE, "the process has no terminal"))?;
    let size = |value: u32| u16::try_from(value).map_err(|_| Failure::invalid(STAGE, format!("{value} is too large")));
    let window =
        libc::winsize { ws_row: size(request.height)?, ws_col: size(request.width)?, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `window` is a valid winsize that outlives the call.
    unsafe { set_window_size(terminal.as_raw_fd(), &raw const window) }.map_err(while_doing(STAGE, "set the size"))?;
    Ok(pb::ResizeResponse {})
}
