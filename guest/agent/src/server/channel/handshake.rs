//! The nonce handshake: host says "HOST <24 hex digits>\n", agent says "AGENT <the same>\n". It proves to the host that
//! what it reads next was written for it, and not for a daemon before it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::ChannelStream;

const GREETING: &str = "HOST ";
const DIGITS: usize = 24;
pub const LINE_BYTES: usize = GREETING.len() + DIGITS + 1;
const LIMIT: Duration = Duration::from_secs(10);

/// The digits of a greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Of a greeting and nothing else.
    pub fn of_line(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let digits = text.strip_prefix(GREETING)?;
        let well_formed =
            digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(digits.to_owned()))
    }

    /// Of what ends with a greeting, whatever stands before it.
    pub fn at_end(bytes: &[u8]) -> Option<Self> {
        Self::of_line(bytes.get(bytes.len().checked_sub(LINE_BYTES)?..)?)
    }

    pub fn answer(&self) -> String {
        format!("AGENT {}\n", self.0)
    }
}

/// Reads the host's line and answers it; an error means that the stream is not to be used. For channels that have
/// connections: nothing stands before the line.
pub async fn answer(stream: &mut ChannelStream) -> io::Result<()> {
    match tokio::time::timeout(LIMIT, exchange(stream)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn exchange(stream: &mut ChannelStream) -> io::Result<()> {
    let mut line = [0; LINE_BYTES];
    stream.read_exact(&mut line).await?;
    let nonce = Nonce::of_line(&line).ok_or(io::ErrorKind::InvalidData)?;
    stream.write_all(nonce.answer().as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::Nonce;

    const DIGITS: &str = "0123456789abcdef01234567";

    #[test]
    fn takes_the_digits_of_a_greeting() {
        assert_eq!(Nonce::of_line(format!("HOST {DIGITS}\n").as_bytes()), Some(Nonce(DIGITS.to_owned())));
    }

    #[test]
    fn takes_the_last_greeting_whatever_was_left_behind_before_it() {
        for stale in ["HOST aaaaaaaaaaaaaaaaaaaaaaaa\n", "\0\0\x12bytes of HTTP/2", "HOST a", "\n", ""] {
            assert_eq!(Nonce::at_end(format!("{stale}HOST {DIGITS}\n").as_bytes()), Some(Nonce(DIGITS.to_owned())));
        }
    }

    #[test]
    fn refuses_everything_else() {
        let upper = format!("HOST {}\n", DIGITS.to_uppercase());
        for text in ["", "\n", "HOST \n", "HOST 0123\n", &upper, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HOST"] {
            assert_eq!(Nonce::of_line(text.as_bytes()), None);
            assert_eq!(Nonce::at_end(text.as_bytes()), None);
        }
        assert_eq!(Nonce::of_line(format!("xHOST {DIGITS}\n").as_bytes()), None);
        assert_eq!(Nonce::at_end(format!("HOST {DIGITS}\nmore").as_bytes()), None);
        assert_eq!(Nonce::at_end(b"HOST \xff\xff\n"), None);
    }
}
