//! What the host tells PID 1 on the kernel's command line.

use std::fs;

use crate::server::ChannelKind;

#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// `a3s.channel=virtio|vsock`; absent: found out.
    pub channel: Option<ChannelKind>,
    /// `a3s.bare=1`: print a line and reboot.
    pub bare: bool,
}

pub fn read() -> Settings {
    parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
}

fn parse(command_line: &str) -> Settings {
    let mut settings = Settings { channel: None, bare: false };
    for word in command_line.split_ascii_whitespace() {
        match word {
            "a3s.channel=virtio" => settings.channel = Some(ChannelKind::VirtioPort),
            "a3s.channel=vsock" => settings.channel = Some(ChannelKind::Vsock),
            "a3s.bare=1" => settings.bare = true,
            _ => {}
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_words_among_the_kernels() {
        let settings =
            parse("console=hvc0 quiet a3s.channel=vsock init=/base/bin/agent virtio_mmio.device=512@0x1:5\n");
        assert_eq!(settings, Settings { channel: Some(ChannelKind::Vsock), bare: false });
        assert!(parse("a3s.bare=1").bare);
    }

    #[test]
    fn leaves_the_channel_open_when_it_is_not_told() {
        assert_eq!(parse("a3s.channel=smoke a3s.bare=0"), Settings { channel: None, bare: false });
    }
}
