//! A profile into a BPF program.

use super::libseccomp::{Filter, LibError, Syscall};
use super::profile::Profile;

/// Names that this libseccomp does not know are left out, as runc does: the default action covers them.
pub fn compile(profile: &Profile) -> Result<Vec<u8>, LibError> {
    let mut filter = Filter::new(profile.default_action)?;
    for name in &profile.architectures {
        filter.add_architecture(name)?;
    }
    // libseccomp refuses rules that say what happens anyhow
    for rule in profile.rules.iter().filter(|rule| rule.action != profile.default_action) {
        for syscall in rule.names.iter().filter_map(|name| Syscall::named(name)) {
            for comparisons in &rule.alternatives {
                filter.add_rule(rule.action, syscall, comparisons)?;
            }
        }
    }
    filter.export()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::profile::parse;
    use serde_json::json;

    const SOCK_FILTER_BYTES: usize = 8;

    fn compiled(profile: serde_json::Value) -> Vec<u8> {
        compile(&parse(&profile).unwrap()).unwrap()
    }

    /// Runs in a child, because a filter can't be taken off again.
    fn errno_of_getppid_under(program: &[u8]) -> i32 {
        let mut instructions: Vec<libc::sock_filter> = program
            .chunks_exact(SOCK_FILTER_BYTES)
            .map(|bytes| libc::sock_filter {
                code: u16::from_ne_bytes([bytes[0], bytes[1]]),
                jt: bytes[2],
                jf: bytes[3],
                k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            })
            .collect();
        let length = u16::try_from(instructions.len()).unwrap();
        let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
        // SAFETY: the child makes system calls and nothing else before it exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: system calls only, on memory of the parent's copy.
            unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                let loaded = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program);
                let result = libc::syscall(libc::SYS_getppid);
                libc::_exit(if loaded != 0 {
                    255
                } else if result >= 0 {
                    0
                } else {
                    *libc::__errno_location()
                })
            }
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn the_kernel_loads_it_and_does_what_the_profile_says() {
        let refusing = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]});
        assert_eq!(errno_of_getppid_under(&compiled(refusing)), 38);
        assert_eq!(errno_of_getppid_under(&compiled(json!({"defaultAction": "SCMP_ACT_ALLOW"}))), 0);
    }

    #[test]
    fn leaves_out_calls_it_does_not_know() {
        let plain = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW"}));
        let unknown = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_KILL"}]});
        assert_eq!(compiled(unknown), plain);
    }

    #[test]
    fn says_which_architecture_it_does_not_know() {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]});
        let error = compile(&parse(&profile).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "unknown architecture \"pdp11\"");
    }
}
