//! Id mappings as the kernel wants them. Source: user_namespaces(7).

use super::spec::IdMapping;

/// Lines of /proc/PID/uid_map; the kernel takes no more.
const MAX_LINES: usize = 340;

/// Content of uid_map or gid_map: first id inside, first id outside, count.
pub fn text(mappings: &[IdMapping]) -> Result<String, String> {
    if mappings.is_empty() || mappings.len() > MAX_LINES {
        return Err(format!("there are {} id mappings, not 1 to {MAX_LINES}", mappings.len()));
    }
    let mut text = String::new();
    for IdMapping { container_id, host_id, size } in mappings {
        if *size == 0 || container_id.checked_add(size - 1).is_none() || host_id.checked_add(size - 1).is_none() {
            return Err(format!("id mapping {container_id} {host_id} {size} is not one"));
        }
        text.push_str(&format!("{container_id} {host_id} {size}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn writes_one_line_for_each_mapping() {
        let mappings = [mapping(0, 100_000, 65_536), mapping(70_000, 5, 1)];
        assert_eq!(text(&mappings).unwrap(), "0 100000 65536\n70000 5 1\n");
    }

    #[test]
    fn refuses_what_the_kernel_would_with_words() {
        assert!(text(&[]).is_err());
        assert!(text(&[mapping(0, 0, 0)]).is_err());
        assert!(text(&[mapping(u32::MAX, 0, 2)]).unwrap_err().contains("4294967295 0 2"));
    }
}
