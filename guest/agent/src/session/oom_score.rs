//! OOM scores of a session that runs (proc_pid_oom_score_adj(5)): which of the guest's processes its kernel ends first.

use std::collections::HashSet;
use std::fs;

use super::entry::Session;
use crate::failure::Failure;

/// What a process starts meanwhile has its parent's; who forks faster than this keeps some that are as they were.
const ROUNDS: u32 = 3;
const LEAST: i32 = -1000;
const MOST: i32 = 1000;

pub fn check(stage: &'static str, score: i32) -> Result<(), Failure> {
    if (LEAST..=MOST).contains(&score) {
        return Ok(());
    }
    Err(Failure::invalid(stage, format!("oom_score_adj {score} is not between {LEAST} and {MOST}")))
}

/// Gives it to init, and to whoever has the one that init had: a program that has chosen another for itself keeps that.
pub fn set(session: &Session, score: i32) {
    let Ok(init) = session.process("update session", "") else { return };
    let Some(before) = read(init.pid) else { return };
    let mut seen = HashSet::new();
    for _ in 0..ROUNDS {
        let all = session.container.cgroup.as_ref().map_or_else(|| vec![init.pid], |cgroup| cgroup.processes());
        let fresh: Vec<i32> = all.into_iter().filter(|pid| seen.insert(*pid)).collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh {
            if read(pid) == Some(before) {
                // it may have ended in between
                let _ = fs::write(file(pid), score.to_string());
            }
        }
    }
}

fn read(pid: i32) -> Option<i32> {
    fs::read_to_string(file(pid)).ok()?.trim().parse().ok()
}

fn file(pid: i32) -> String {
    format!("/proc/{pid}/oom_score_adj")
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_score_is_what_the_kernel_takes() {
        assert!([-1000, 0, 1000].iter().all(|score| check("s", *score).is_ok()));
        assert!([-1001, 1001, i32::MAX].iter().all(|score| check("s", *score).is_err()));
    }
}
