//! What the host tells PID 1 on the kernel's command line.

use std::fs;

use crate::runtime::guest::Choice;
use crate::server::ChannelKind;

#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// `a3s.channel=virtio|vsock`; absent: found out.
    pub channel: Option<ChannelKind>,
    /// `a3s.runtime=own|crun`: what runs sessions that do not choose.
    pub runtime: Choice,
    /// `a3s.bare=1`: print a line and reboot.
    pub bare: bool,
}

pub fn read() -> Settings {
    parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
}

fn parse(command_line: &str) -> Settings {
    let mut settings = Settings { channel: None, runtime: Choice::Own, bare: false };
    for word in command_line.split_ascii_whitespace() {
        match word {
            "a3s.channel=virtio" => settings.channel = Some(ChannelKind::VirtioPort),
            "a3s.channel=vsock" => settings.channel = Some(ChannelKind::Vsock),
            "a3s.runtime=own" => settings.runtime = Choice::Own,
            "a3s.runtime=crun" => settings.runtime = Choice::Crun,
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
        let expected = Settings { channel: Some(ChannelKind::Vsock), runtime: Choice::Own, bare: false };
        assert_eq!(settings, expected);
        assert!(parse("a3s.bare=1").bare);
        assert_eq!(parse("a3s.runtime=crun").runtime, Choice::Crun);
    }

    #[test]
    fn leaves_the_channel_open_when_it_is_not_told() {
        let settings = parse("a3s.channel=smoke a3s.runtime=x a3s.bare=0");
        assert_eq!(settings, Settings { channel: None, runtime: Choice::Own, bare: false });
    }
}
