//! The nonce handshake: host says "HOST <24 hex digits>\n", agent says "AGENT <the same>\n". It proves to the host that
//! what it reads next was written for it, and not for a daemon before it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::ChannelStream;

const GREETING: &str = "HOST ";
const DIGITS: usize = 24;
const LINE_BYTES: usize = GREETING.len() + DIGITS + 1;
/// Lines of daemons that gave up may stand before the one that counts.
const MAX_BYTES: usize = 64 * LINE_BYTES;
const LIMIT: Duration = Duration::from_secs(10);

/// Reads the host's line and answers it; an error means that the stream is not to be used.
pub async fn answer(stream: &mut ChannelStream) -> io::Result<()> {
    match tokio::time::timeout(LIMIT, exchange(stream)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn exchange(stream: &mut ChannelStream) -> io::Result<()> {
    let mut received = Vec::with_capacity(MAX_BYTES);
    while received.len() < MAX_BYTES {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if received.ends_with(b"\n") {
            let digits = nonce(&received).ok_or(io::ErrorKind::InvalidData)?;
            return stream.write_all(format!("AGENT {digits}\n").as_bytes()).await;
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The digits of the last line; what stands before it was written by daemons that have hung up. A stale last line does
/// no harm: its answer is not the one that the host waits for.
fn nonce(received: &[u8]) -> Option<&str> {
    let text = received.strip_suffix(b"\n")?;
    let line = text.rsplit(|byte| *byte == b'\n').next()?;
    let digits = std::str::from_utf8(line).ok()?.strip_prefix(GREETING)?;
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::nonce;

    const DIGITS: &str = "0123456789abcdef01234567";

    #[test]
    fn takes_the_digits_of_a_greeting() {
        assert_eq!(nonce(format!("HOST {DIGITS}\n").as_bytes()), Some(DIGITS));
    }

    #[test]
    fn takes_the_last_greeting_when_older_ones_were_left_behind() {
        let text = format!("HOST aaaaaaaaaaaaaaaaaaaaaaaa\nHOST {DIGITS}\n");
        assert_eq!(nonce(text.as_bytes()), Some(DIGITS));
    }

    #[test]
    fn refuses_everything_else() {
        let upper = format!("HOST {}\n", DIGITS.to_uppercase());
        for text in ["", "\n", "HOST \n", "HOST 0123\n", &upper, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HOST"] {
            assert_eq!(nonce(text.as_bytes()), None);
        }
        assert_eq!(nonce(format!("xHOST {DIGITS}\n").as_bytes()), None);
        assert_eq!(nonce(format!("HOST {DIGITS}\nmore").as_bytes()), None);
        assert_eq!(nonce(b"HOST \xff\xff\n"), None);
    }
}
