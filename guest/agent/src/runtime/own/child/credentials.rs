//! Who the program is: limits, users, groups, capabilities, seccomp. The same for init and for execs.

use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::runtime::own::capabilities::{self, Sets};
use crate::runtime::own::rlimits::{self, Limit};
use crate::runtime::own::spec::Process;
use crate::runtime::own::wire::{Filter, Trouble, during};

const BYTES_OF_INSTRUCTION: usize = 8;

/// All that the program's rights are made from, resolved and checked.
pub struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    sets: Sets,
    limits: Vec<Limit>,
    no_new_privileges: bool,
    filter: Filter,
}

impl Credentials {
    pub fn of(process: &Process, filter: Filter) -> Result<Self, Trouble> {
        Ok(Self {
            uid: Uid::from_raw(process.user.uid),
            gid: Gid::from_raw(process.user.gid),
            groups: process.user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect(),
            sets: capabilities::sets(&process.capabilities).map_err(Trouble::invalid)?.without(capabilities::RAW_IO),
            limits: rlimits::limits(&process.rlimits).map_err(Trouble::invalid)?,
            no_new_privileges: process.no_new_privileges,
            filter,
        })
    }

    /// Loading a filter without no_new_privs takes CAP_SYS_ADMIN, which is then kept until it is loaded.
    fn borrowed(&self) -> u64 {
        if self.filter.bpf.is_empty() || self.no_new_privileges { 0 } else { capabilities::SYS_ADMIN }
    }

    /// Everything; after it nothing but exec, read and write may be called, as the filter may forbid the rest.
    pub fn take(&self) -> Result<(), Trouble> {
        for (resource, limit) in &self.limits {
            // SAFETY: the limit lives until the call returns.
            let set = unsafe { libc::setrlimit64(*resource, limit) };
            Errno::result(set).map_err(during(format!("set resource limit {resource}")))?;
        }
        self.drop_bounding().map_err(during("drop capabilities of the bounding set"))?;
        prctl(libc::PR_SET_KEEPCAPS, 1, 0).map_err(during("keep capabilities"))?;
        setgroups(&self.groups).map_err(during("set supplementary groups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(during(format!("set group {}", self.gid)))?;
        setresuid(self.uid, self.uid, self.uid).map_err(during(format!("set user {}", self.uid)))?;
        let more = self.borrowed();
        set_capabilities(&Sets {
            effective: self.sets.effective | more,
            permitted: self.sets.permitted | more,
            ..self.sets
        })
        .map_err(during("set capabilities"))?;
        self.raise_ambient().map_err(during("raise ambient capabilities"))?;
        if self.no_new_privileges {
            set_no_new_privs().map_err(during("set no_new_privs"))?;
        }
        load(&self.filter).map_err(during("load the seccomp filter"))?;
        if more != 0 {
            set_capabilities(&self.sets).map_err(during("set capabilities behind the filter"))?;
        }
        Ok(())
    }

    fn drop_bounding(&self) -> Result<(), Errno> {
        for number in 0..capabilities::COUNT {
            if self.sets.bounding & (1 << number) == 0 {
                match prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0) {
                    Err(Errno::EINVAL) => break, // the kernel knows fewer
                    other => other?,
                }
            }
        }
        Ok(())
    }

    fn raise_ambient(&self) -> Result<(), Errno> {
        const CLEAR_ALL: libc::c_ulong = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
        const RAISE: libc::c_ulong = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        prctl(libc::PR_CAP_AMBIENT, CLEAR_ALL, 0)?;
        let asked = (0..capabilities::COUNT).filter(|number| self.sets.ambient & (1 << number) != 0);
        asked.map(libc::c_ulong::from).try_for_each(|number| prctl(libc::PR_CAP_AMBIENT, RAISE, number))
    }
}

/// struct __user_cap_header_struct.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// struct __user_cap_data_struct; two of them, the low bits first.
#[repr(C)]
#[derive(Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Those of this thread that capset(2) knows of.
pub fn own_sets() -> Result<Sets, Errno> {
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let mut data = [CapabilityData::default(), CapabilityData::default()];
    // SAFETY: header and data have the layout of version 3 and live until the call returns.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    let joined = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: joined(low.effective, high.effective),
        permitted: joined(low.permitted, high.permitted),
        inheritable: joined(low.inheritable, high.inheritable),
        ..Sets::default()
    })
}

pub fn set_capabilities(sets: &Sets) -> Result<(), Errno> {
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let half = |shift: u32| {
        let bits = |set: u64| u32::try_from((set >> shift) & u64::from(u32::MAX)).unwrap_or_default();
        CapabilityData {
            effective: bits(sets.effective),
            permitted: bits(sets.permitted),
            inheritable: bits(sets.inheritable),
        }
    };
    let data = [half(0), half(32)];
    // SAFETY: header and data have the layout of version 3 and live until the call returns.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

fn load(filter: &Filter) -> Result<(), Errno> {
    if filter.bpf.is_empty() {
        return Ok(());
    }
    let length = filter.bpf.len() / BYTES_OF_INSTRUCTION;
    let program = libc::sock_fprog {
        len: u16::try_from(length).map_err(|_| Errno::E2BIG)?,
        filter: filter.bpf.as_ptr().cast_mut().cast(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program points to `length` instructions of 8 bytes, which the kernel copies and checks.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, filter.flags, &raw const program) };
    Errno::result(result).map(drop)
}

fn prctl(option: libc::c_int, second: libc::c_ulong, third: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: none of the options used here takes a pointer.
    Errno::result(unsafe { libc::prctl(option, second, third, 0, 0) }).map(drop)
}
