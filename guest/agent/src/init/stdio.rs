//! Descriptors 0 to 2. The kernel opens its console for the first program, if there is one by then: a console of virtio is
//! there when the host has answered twice, and a host with much to do is late. Rust's runtime ends a program that comes
//! without these descriptors and finds no `/dev/null`, which the first program does not: so they are taken before it looks.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CONSOLE: &str = "/dev/console";
/// Of the host's answer, and how often it is asked for.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);
const LAST: libc::c_int = 2;

static STAND_IN: AtomicBool = AtomicBool::new(false);

/// Called by the C library before `main`, with which Rust's runtime begins.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_THE_RUNTIME: extern "C" fn() = stand_in;

/// The lowest descriptors that are free are what a new file gets.
extern "C" fn stand_in() {
    loop {
        // SAFETY: it takes two numbers, and the descriptor is nobody else's.
        let fd = unsafe { libc::eventfd(0, 0) };
        if !(0..=LAST).contains(&fd) {
            // SAFETY: as above; of no file it does nothing.
            unsafe { libc::close(fd) };
            return;
        }
        STAND_IN.store(true, Ordering::Relaxed);
    }
}

/// Puts the console where something stands in for it, or what swallows all lines; `/dev` has to be there.
pub fn open_console() -> io::Result<()> {
    if !STAND_IN.load(Ordering::Relaxed) {
        return Ok(());
    }
    let until = Instant::now() + PATIENCE;
    let file = loop {
        match open(CONSOLE) {
            Ok(console) => break console,
            Err(_) if Instant::now() < until => sleep(PAUSE),
            Err(_) => break open("/dev/null")?,
        }
    };
    for fd in 0..=LAST {
        // SAFETY: both are open, and what is closed by it is the stand-in.
        if unsafe { libc::dup2(file.as_raw_fd(), fd) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)
}
