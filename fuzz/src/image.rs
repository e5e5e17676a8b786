//! Files of a root as one text, so that an input can be read, and a real folder can be made one.
//!
//! A line `%%% <path>` begins a file, whose bytes reach up to the newline before the next such line. What stands before
//! the first one is the history of the project `p`.

use std::path::Path;

const MARK: &[u8] = b"%%% ";
/// The file that an input without any mark is.
pub const HISTORY: &str = "p/.meta/history.jsonl";

/// Paths with their bytes, in order. What is no plain path below the root is left out.
pub fn files(image: &[u8]) -> Vec<(String, &[u8])> {
    let mut files = Vec::new();
    let (mut path, mut start, mut at) = (HISTORY.to_owned(), 0, 0);
    while at < image.len() {
        let end = image[at..].iter().position(|&byte| byte == b'\n').map_or(image.len(), |found| at + found);
        if let Some(name) = image[at..end].strip_prefix(MARK) {
            if at > start || start > 0 {
                files.push((std::mem::take(&mut path), &image[start..at.saturating_sub(1).max(start)]));
            }
            path = String::from_utf8_lossy(name).into_owned();
            start = (end + 1).min(image.len());
        }
        at = end + 1;
    }
    files.push((path, &image[start..]));
    files.retain(|(path, _)| is_plain(path));
    files
}

fn is_plain(path: &str) -> bool {
    let segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.len() <= 255 && !segment.contains('\0');
    path.len() <= 512 && path.split('/').count() <= 12 && path.split('/').all(segment)
}

/// Writes the files below `root`. Where two want the same place the first one has it.
pub fn write(image: &[u8], root: &Path) {
    for (path, bytes) in files(image) {
        let path = root.join(path);
        let folder = path.parent().expect("it is below the root");
        if std::fs::create_dir_all(folder).is_ok() && !path.exists() {
            let _ = std::fs::write(path, bytes);
        }
    }
}

/// Every file below `root` but `skip`, with its bytes; by path.
pub fn tree(root: &Path, skip: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let rel = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            if skip.contains(&rel.as_str()) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.push((rel, std::fs::read(path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_split_at_its_marks() {
        let split = |image: &'static str| -> Vec<(String, String)> {
            files(image.as_bytes()).into_iter().map(|(path, bytes)| (path, String::from_utf8_lossy(bytes).into_owned())).collect()
        };
        let pair = |path: &str, bytes: &str| (path.to_owned(), bytes.to_owned());
        assert_eq!(split("1\n2\n"), [pair(HISTORY, "1\n2\n")]);
        assert_eq!(split("%%% a\n1\n\n%%% b/c\n2"), [pair("a", "1\n"), pair("b/c", "2")]);
        assert_eq!(split("x\n\n%%% a\n1"), [pair(HISTORY, "x\n"), pair("a", "1")]);
        assert_eq!(split("%%% ../a\n1\n%%% /b\n%%% c"), [pair("c", "")]);
        assert_eq!(split("%%% a\n%%% b\n"), [pair("a", ""), pair("b", "")]);
    }
}
