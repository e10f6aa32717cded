//! Device rules as an eBPF program of type CGROUP_DEVICE. Source: linux/bpf.h (struct bpf_cgroup_dev_ctx), OCI runtime
//! spec config-linux.md "Allowed Device list": for each bit of an access (make, read, write) the last rule that names
//! it decides.

use super::spec::DeviceRule;

/// struct bpf_insn.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_IF_NOT: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_IF: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95;

const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
/// Bits of the access that no rule has decided yet.
const OPEN: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
/// BPF_DEVCG_ACC_*.
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<i32>,
    major: Option<i32>,
    minor: Option<i32>,
    access: i32,
}

/// null, zero, full, random, urandom, tty, ptmx and the pseudo terminals, which every container has (config-linux.md,
/// "Default Devices"), whatever the spec says.
const ALWAYS: [(i32, Option<i32>); 8] =
    [(1, Some(3)), (1, Some(5)), (1, Some(7)), (1, Some(8)), (1, Some(9)), (5, Some(0)), (5, Some(2)), (136, None)];

/// The program for rules of a spec, or which rule is none.
pub fn program(rules: &[DeviceRule]) -> Result<Vec<Instruction>, String> {
    let mut parsed = rules.iter().map(parse).collect::<Result<Vec<Rule>, String>>()?;
    let standard = ALWAYS.iter().map(|(major, minor)| Rule {
        allow: true,
        kind: Some(CHARACTER),
        major: Some(*major),
        minor: *minor,
        access: MAKE | READ | WRITE,
    });
    parsed.extend(standard);
    Ok(assemble(&parsed))
}

fn assemble(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        load(OPEN, 0),
        one(MOVE_REGISTER, KIND | OPEN << 4, 0),
        one(AND, KIND, 0xffff),
        one(SHIFT_RIGHT, OPEN, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        jump_if_not(OPEN, 0, 2),
        one(MOVE, VERDICT, 1),
        one(EXIT, 0, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(instructions(rule));
    }
    program.extend([one(MOVE, VERDICT, 0), one(EXIT, 0, 0)]);
    program
}

fn instructions(rule: &Rule) -> Vec<Instruction> {
    let body = if rule.allow {
        vec![one(AND, OPEN, !rule.access), jump_if_not(OPEN, 0, 2), one(MOVE, VERDICT, 1), one(EXIT, 0, 0)]
    } else {
        vec![
            one(MOVE_REGISTER, SCRATCH | OPEN << 4, 0),
            one(AND, SCRATCH, rule.access),
            Instruction { offset: 2, ..one(JUMP_IF, SCRATCH, 0) }, // nothing of it is meant: on to the next rule
            one(MOVE, VERDICT, 0),
            one(EXIT, 0, 0),
        ]
    };
    let conditions: Vec<(u8, i32)> = [(KIND, rule.kind), (MAJOR, rule.major), (MINOR, rule.minor)]
        .into_iter()
        .filter_map(|(register, value)| value.map(|value| (register, value)))
        .collect();
    let count = conditions.len();
    let tests = conditions.into_iter().enumerate().map(|(index, (register, value))| {
        let over = count - index - 1 + body.len();
        jump_if_not(register, value, i16::try_from(over).unwrap_or(i16::MAX))
    });
    tests.collect::<Vec<_>>().into_iter().chain(body).collect()
}

fn one(code: u8, registers: u8, immediate: i32) -> Instruction {
    Instruction { code, registers, offset: 0, immediate }
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn jump_if_not(register: u8, value: i32, offset: i16) -> Instruction {
    Instruction { code: JUMP_IF_NOT, registers: register, offset, immediate: value }
}

fn parse(rule: &DeviceRule) -> Result<Rule, String> {
    let kind = match rule.kind.as_deref() {
        None | Some("" | "a") => None,
        Some("b") => Some(BLOCK),
        Some("c" | "u") => Some(CHARACTER),
        Some(other) => return Err(format!("{other:?} is not a type of devices")),
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => i32::try_from(value).ok().filter(|value| *value >= 0).map(Some).ok_or(value),
    };
    let wrong = |value| format!("device number {value} is not one");
    let (major, minor) = (number(rule.major).map_err(wrong)?, number(rule.minor).map_err(wrong)?);
    let access = access(rule.access.as_deref().unwrap_or("rwm"))?;
    Ok(Rule { allow: rule.allow, kind, major, minor, access })
}

fn access(letters: &str) -> Result<i32, String> {
    letters.chars().try_fold(0, |bits, letter| match letter {
        'm' => Ok(bits | MAKE),
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        _ => Err(format!("device access {letters:?} is not of r, w and m")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    /// What the kernel would make of the program for one access.
    fn allowed(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let context = [i64::from(access << 16 | kind), i64::from(major), i64::from(minor)];
        let mut registers = [0_i64; 11];
        let mut at = 0_usize;
        loop {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            let value = i64::from(immediate);
            at += 1;
            match code {
                LOAD_WORD => registers[to] = context[usize::try_from(offset).unwrap() / 4],
                MOVE => registers[to] = value,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_IF_NOT if registers[to] != value => at += usize::try_from(offset).unwrap(),
                JUMP_IF if registers[to] == value => at += usize::try_from(offset).unwrap(),
                JUMP_IF_NOT | JUMP_IF => {}
                EXIT => return registers[0] == 1,
                _ => panic!("unknown code {code:#x}"),
            }
        }
    }

    fn of(rules: Value) -> Vec<Instruction> {
        program(&Vec::<DeviceRule>::deserialize(rules).unwrap()).unwrap()
    }

    const ALL: i32 = MAKE | READ | WRITE;

    #[test]
    fn the_last_rule_that_names_a_device_decides() {
        let made = of(json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": true, "type": "b", "major": 8},
            {"allow": false, "type": "b", "major": 8, "minor": 1, "access": "w"},
        ]));
        assert!(allowed(&made, CHARACTER, READ | WRITE, 10, 229));
        assert!(!allowed(&made, CHARACTER, MAKE, 10, 229));
        assert!(!allowed(&made, CHARACTER, READ, 10, 228));
        assert!(!allowed(&made, BLOCK, READ, 10, 229));
        assert!(allowed(&made, BLOCK, ALL, 8, 0));
        assert!(allowed(&made, BLOCK, READ, 8, 1));
        assert!(!allowed(&made, BLOCK, READ | WRITE, 8, 1));
    }

    #[test]
    fn rules_for_single_letters_add_up() {
        let made = of(json!([
            {"allow": true, "type": "c", "major": 7, "access": "r"},
            {"allow": true, "type": "c", "major": 7, "access": "w"},
        ]));
        assert!(allowed(&made, CHARACTER, READ | WRITE, 7, 0));
        assert!(!allowed(&made, CHARACTER, ALL, 7, 0));
    }

    #[test]
    fn the_standard_devices_can_not_be_taken_away() {
        let made = of(json!([{"allow": false}]));
        assert!(allowed(&made, CHARACTER, ALL, 1, 3));
        assert!(allowed(&made, CHARACTER, READ | WRITE, 136, 77));
        assert!(!allowed(&made, CHARACTER, READ, 1, 1));
        assert!(!allowed(&made, BLOCK, READ, 1, 3));
    }

    #[test]
    fn everything_is_everything() {
        let made = of(json!([{"allow": true, "access": "rwm"}]));
        assert!(allowed(&made, BLOCK, ALL, 259, 3) && allowed(&made, CHARACTER, ALL, 10, 200));
        assert!(allowed(&of(json!([])), BLOCK, 0, 1, 1));
    }

    #[test]
    fn refuses_rules_that_are_none() {
        for rule in [
            json!({"allow": true, "type": "x"}),
            json!({"allow": true, "access": "q"}),
            json!({"allow": true, "major": -2}),
        ] {
            assert!(program(&[DeviceRule::deserialize(rule).unwrap()]).is_err());
        }
    }
}
