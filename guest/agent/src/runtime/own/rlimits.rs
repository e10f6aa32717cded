//! Resource limits by name. Source: getrlimit(2).

use super::spec::Rlimit;

pub type Limit = (libc::__rlimit_resource_t, libc::rlimit64);

const NAMES: [(&str, libc::__rlimit_resource_t); 16] = [
    ("RLIMIT_AS", libc::RLIMIT_AS),
    ("RLIMIT_CORE", libc::RLIMIT_CORE),
    ("RLIMIT_CPU", libc::RLIMIT_CPU),
    ("RLIMIT_DATA", libc::RLIMIT_DATA),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", libc::RLIMIT_NICE),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
    ("RLIMIT_RSS", libc::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", libc::RLIMIT_STACK),
];

pub fn limits(named: &[Rlimit]) -> Result<Vec<Limit>, String> {
    named.iter().map(limit).collect()
}

fn limit(named: &Rlimit) -> Result<Limit, String> {
    let known = NAMES.iter().find(|(name, _)| *name == named.name);
    let (_, resource) = known.ok_or_else(|| format!("unknown limit {:?}", named.name))?;
    if named.soft > named.hard {
        return Err(format!("{}: the soft limit is above the hard one", named.name));
    }
    Ok((*resource, libc::rlimit64 { rlim_cur: named.soft, rlim_max: named.hard }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, soft: u64, hard: u64) -> Rlimit {
        Rlimit { name: name.to_owned(), soft, hard }
    }

    #[test]
    fn finds_limits_by_name_and_refuses_what_is_none() {
        let (resource, limit) = limit(&named("RLIMIT_NOFILE", 5, 9)).unwrap();
        assert_eq!((resource, limit.rlim_cur, limit.rlim_max), (libc::RLIMIT_NOFILE, 5, 9));
        assert!(limits(&[named("NOFILE", 1, 1)]).unwrap_err().contains("NOFILE"));
        assert!(limits(&[named("RLIMIT_CPU", 2, 1)]).unwrap_err().contains("above"));
    }
}
