//! The part of libseccomp (seccomp.h) that is used, linked statically.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// enum scmp_filter_attr
const ATTRIBUTE_NO_NEW_PRIVILEGES: c_int = 3;
const ATTRIBUTE_OPTIMIZE: c_int = 8;
/// "binary tree" of SCMP_FLTATR_CTL_OPTIMIZE: kernel load and each call are cheaper with hundreds of rules.
const BINARY_TREE: u32 = 2;
/// __NR_SCMP_ERROR
const UNKNOWN_SYSCALL: c_int = -1;

/// struct scmp_arg_cmp
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub argument: c_uint,
    /// enum scmp_compare
    pub operator: c_int,
    pub value: u64,
    pub second: u64,
}

unsafe extern "C" {
    fn seccomp_init(default_action: u32) -> *mut c_void;
    fn seccomp_release(filter: *mut c_void);
    fn seccomp_arch_resolve_name(name: *const c_char) -> u32;
    fn seccomp_arch_exist(filter: *mut c_void, token: u32) -> c_int;
    fn seccomp_arch_add(filter: *mut c_void, token: u32) -> c_int;
    fn seccomp_attr_set(filter: *mut c_void, attribute: c_int, value: u32) -> c_int;
    fn seccomp_syscall_resolve_name(name: *const c_char) -> c_int;
    fn seccomp_rule_add_array(
        filter: *mut c_void,
        action: u32,
        syscall: c_int,
        count: c_uint,
        comparisons: *const Comparison,
    ) -> c_int;
    fn seccomp_export_bpf(filter: *mut c_void, descriptor: c_int) -> c_int;
}

#[derive(Debug, thiserror::Error)]
pub enum LibError {
    #[error("no memory for a filter, or an invalid default action")]
    Init,
    #[error("unknown architecture {0:?}")]
    Architecture(String),
    #[error("{doing}: {errno}")]
    Refused { doing: String, errno: Errno },
    #[error("export: {0}")]
    Export(std::io::Error),
}

fn checked(doing: impl FnOnce() -> String, result: c_int) -> Result<(), LibError> {
    if result >= 0 {
        return Ok(());
    }
    Err(LibError::Refused { doing: doing(), errno: Errno::from_raw(-result) })
}

/// One filter; released when dropped.
pub struct Filter(*mut c_void);

impl Filter {
    /// A filter for the machine's own architecture.
    pub fn new(default_action: u32) -> Result<Self, LibError> {
        // SAFETY: no pointers go in.
        let raw = unsafe { seccomp_init(default_action) };
        if raw.is_null() {
            return Err(LibError::Init);
        }
        let filter = Self(raw);
        // what loads the filter decides about no_new_privs
        for (attribute, value) in [(ATTRIBUTE_NO_NEW_PRIVILEGES, 0), (ATTRIBUTE_OPTIMIZE, BINARY_TREE)] {
            // SAFETY: `raw` is a live filter.
            checked(|| format!("set attribute {attribute}"), unsafe { seccomp_attr_set(raw, attribute, value) })?;
        }
        Ok(filter)
    }

    /// `name` as libseccomp writes it: "x86_64". Success when it is there.
    pub fn add_architecture(&mut self, name: &str) -> Result<(), LibError> {
        let unknown = || LibError::Architecture(name.to_owned());
        let c_name = CString::new(name).map_err(|_| unknown())?;
        // SAFETY: the name is a string that outlives the call.
        let token = unsafe { seccomp_arch_resolve_name(c_name.as_ptr()) };
        if token == 0 {
            return Err(unknown());
        }
        // SAFETY: the filter is live.
        if unsafe { seccomp_arch_exist(self.0, token) } == 0 {
            return Ok(());
        }
        // SAFETY: the filter is live.
        checked(|| format!("add architecture {name}"), unsafe { seccomp_arch_add(self.0, token) })
    }

    /// `comparisons` must all hold.
    pub fn add_rule(&mut self, action: u32, syscall: Syscall, comparisons: &[Comparison]) -> Result<(), LibError> {
        let count = c_uint::try_from(comparisons.len()).unwrap_or(c_uint::MAX);
        // SAFETY: the filter is live, and `comparisons` has `count` elements laid out as struct scmp_arg_cmp.
        let result = unsafe { seccomp_rule_add_array(self.0, action, syscall.0, count, comparisons.as_ptr()) };
        checked(|| format!("add a rule for syscall {}", syscall.0), result)
    }

    /// Array of struct sock_filter.
    pub fn export(&self) -> Result<Vec<u8>, LibError> {
        let memory = memfd_create(c"filter", MFdFlags::MFD_CLOEXEC).map_err(|errno| LibError::Export(errno.into()))?;
        // SAFETY: the filter is live and the descriptor open.
        checked(|| "export".to_owned(), unsafe { seccomp_export_bpf(self.0, memory.as_raw_fd()) })?;
        let mut file = File::from(memory);
        let mut program = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut program)).map_err(LibError::Export)?;
        Ok(program)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: made by seccomp_init and released once, here.
        unsafe { seccomp_release(self.0) }
    }
}

/// A number of the machine's own architecture, or one of libseccomp's for calls that only others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syscall(c_int);

impl Syscall {
    /// None for a name that this libseccomp does not know.
    pub fn named(name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the name is a string that outlives the call.
        let number = unsafe { seccomp_syscall_resolve_name(name.as_ptr()) };
        (number != UNKNOWN_SYSCALL).then_some(Self(number))
    }
}
