//! `linux.seccomp` of an OCI spec (runtime-spec, config-linux, "Seccomp").

use serde_json::Value;

use super::libseccomp::Comparison;

/// Calls take six arguments.
const MAX_ARGUMENT: u64 = 5;
const EPERM: u64 = 1;

#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    pub default_action: u32,
    /// As libseccomp writes them.
    pub architectures: Vec<String>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub names: Vec<String>,
    pub action: u32,
    /// Each list is one rule; all of a list must hold.
    pub alternatives: Vec<Vec<Comparison>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(String);

fn refuse<T>(what: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError(what.into()))
}

pub fn parse(profile: &Value) -> Result<Profile, ProfileError> {
    if !profile.is_object() {
        return refuse("not an object");
    }
    let default_action = action(profile, "defaultAction", "defaultErrnoRet")?;
    let mut architectures = Vec::new();
    for name in strings(profile, "architectures")? {
        match name.strip_prefix("SCMP_ARCH_") {
            Some(rest) => architectures.push(rest.to_ascii_lowercase()),
            None => return refuse(format!("unknown architecture {name:?}")),
        }
    }
    let mut rules = Vec::new();
    for entry in list(profile, "syscalls")? {
        let names = strings(entry, "names")?;
        if names.is_empty() {
            return refuse("a rule without names");
        }
        rules.push(Rule { names, action: action(entry, "action", "errnoRet")?, alternatives: alternatives(entry)? });
    }
    Ok(Profile { default_action, architectures, rules })
}

/// seccomp.h: SCMP_ACT_*.
fn action(within: &Value, member: &str, errno_member: &str) -> Result<u32, ProfileError> {
    let name = within.get(member).and_then(Value::as_str).unwrap_or_default();
    let errno = match within.get(errno_member) {
        None | Some(Value::Null) => EPERM,
        Some(value) => value.as_u64().ok_or_else(|| ProfileError(format!("{errno_member} is not a number")))?,
    };
    let errno = match u16::try_from(errno) {
        Ok(errno) => u32::from(errno),
        Err(_) => return refuse(format!("{errno_member} {errno} is too large")),
    };
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0x0000_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_NOTIFY" => return refuse("SCMP_ACT_NOTIFY is not supported: there is nobody to notify"),
        _ => return refuse(format!("{member} {name:?} is not an action")),
    })
}

/// As runc reads them: comparisons of different arguments must all hold; as soon as two are of the same argument, each
/// is a rule of its own.
fn alternatives(entry: &Value) -> Result<Vec<Vec<Comparison>>, ProfileError> {
    let mut comparisons = Vec::new();
    for argument in list(entry, "args")? {
        comparisons.push(comparison(argument)?);
    }
    let mut seen = std::collections::HashSet::new();
    let each_once = comparisons.iter().all(|comparison| seen.insert(comparison.argument));
    if each_once { Ok(vec![comparisons]) } else { Ok(comparisons.into_iter().map(|one| vec![one]).collect()) }
}

fn comparison(argument: &Value) -> Result<Comparison, ProfileError> {
    let number = |member: &str| argument.get(member).map_or(Some(0), Value::as_u64);
    let (Some(index), Some(value), Some(second)) = (number("index"), number("value"), number("valueTwo")) else {
        return refuse("an argument with a member that is not a number");
    };
    if index > MAX_ARGUMENT {
        return refuse(format!("argument index {index} is too large"));
    }
    let name = argument.get("op").and_then(Value::as_str).unwrap_or_default();
    let operator = match name {
        "SCMP_CMP_NE" => 1,
        "SCMP_CMP_LT" => 2,
        "SCMP_CMP_LE" => 3,
        "SCMP_CMP_EQ" => 4,
        "SCMP_CMP_GE" => 5,
        "SCMP_CMP_GT" => 6,
        "SCMP_CMP_MASKED_EQ" => 7,
        _ => return refuse(format!("op {name:?} is not a comparison")),
    };
    Ok(Comparison { argument: u32::try_from(index).unwrap_or(u32::MAX), operator, value, second })
}

/// An absent list is empty.
fn list<'a>(within: &'a Value, member: &str) -> Result<&'a [Value], ProfileError> {
    match within.get(member) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => refuse(format!("{member} is not a list")),
    }
}

fn strings(within: &Value, member: &str) -> Result<Vec<String>, ProfileError> {
    let mut found = Vec::new();
    for item in list(within, member)? {
        match item.as_str() {
            Some(text) => found.push(text.to_owned()),
            None => return refuse(format!("{member} has an item that is not a string")),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_actions_with_their_errno() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]});
        let parsed = parse(&profile).unwrap();
        assert_eq!(parsed.default_action, 0x0005_0026);
        let actions: Vec<u32> = parsed.rules.iter().map(|rule| rule.action).collect();
        assert_eq!(actions, [0x7fff_0000, 0x0005_0001]);
    }

    #[test]
    fn comparisons_of_one_argument_are_alternatives() {
        let with = |first: u64, second: u64| {
            let one = |index: u64| json!({"index": index, "value": 8, "op": "SCMP_CMP_EQ"});
            alternatives(&json!({"args": [one(first), one(second)]})).unwrap().len()
        };
        assert_eq!(with(0, 1), 1);
        assert_eq!(with(0, 0), 2);
    }

    #[test]
    fn refuses_what_it_can_not_honour() {
        for profile in [
            json!([]),
            json!({}),
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 70000}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["x86_64"]}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}),
        ] {
            assert!(parse(&profile).is_err(), "{profile}");
        }
    }
}
