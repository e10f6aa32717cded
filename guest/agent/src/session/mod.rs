//! Sessions (containers) and their processes, above whichever runtime starts them.

pub mod create;
pub mod delete;
pub mod entry;
pub mod exec;
pub mod held;
pub mod huge_volumes;
pub mod id;
pub mod mirror;
pub mod oom_score;
pub mod output;
pub mod process;
pub mod pump;
pub mod roots;

pub mod start;
pub mod stdio;
pub mod submounts;
pub mod table;
pub mod update;
