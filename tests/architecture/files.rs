//! Rules over every file of the repository: nothing in it is of one machine.

use std::path::Path as FilePath;

use super::{refuse, root, walk};

/// Whether a path of `.gitignore` (names and folders, no wildcards) covers a path below the root.
fn is_ignored(ignored: &[&str], relative: &str) -> bool {
    ignored
        .iter()
        .any(|pattern| match pattern.strip_prefix('/') {
            Some(anchored) => relative == anchored,
            None => relative.rsplit('/').next() == Some(*pattern),
        })
}

/// The repository's text files, as path below the root and text.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let ignore = std::fs::read_to_string(root.join(".gitignore")).expect(".gitignore can be read");
    let mut ignored: Vec<&str> = ignore
        .lines()
        .map(|line| line.trim_end_matches('/'))
        .collect();
    ignored.push(".git");
    let relative = |path: &FilePath| {
        let relative = path.strip_prefix(&root).expect("it lies below the root");
        relative.to_string_lossy().replace('\\', "/")
    };
    let mut files = Vec::new();
    walk(
        &root,
        &|path| !is_ignored(&ignored, &relative(path)),
        &mut files,
    );
    let mut texts = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file).expect("the file can be read");
        if let Ok(text) = String::from_utf8(bytes) {
            texts.push((relative(&file), text));
        }
    }
    texts
}

/// Paths of somebody's machine and hosts of registries. Put together here so that this file, which
/// is checked too, does not hold them.
fn machine_words() -> Vec<String> {
    let folders = ["root", "work", "home", "Users", "mnt"];
    let mut words: Vec<String> = folders.iter().map(|name| format!("/{name}/")).collect();
    for (host, domain) in [
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("index.crates", "io"),
        ("static.crates", "io"),
        ("proxy.golang", "org"),
        ("files.pythonhosted", "org"),
        ("pypi", "org"),
        ("deb.debian", "org"),
    ] {
        words.push(format!("{host}.{domain}"));
    }
    words
}

fn machine_traces(name: &str, text: &str) -> Vec<String> {
    let words = machine_words();
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in &words {
            let is_whole = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-/}{:*".contains(c))
                    || !word.starts_with('/')
            };
            if line.match_indices(word.as_str()).any(is_whole) {
                violations.push(format!("{name}:{}: `{word}` is of one machine", index + 1));
            }
        }
    }
    violations
}

/// npm's lock file without `resolved`, cargo's with the public registry only.
fn lock_traces(name: &str, text: &str) -> Vec<String> {
    let is_bad = |line: &str| match name.rsplit('/').next() {
        Some("package-lock.json") => line.trim_start().starts_with("\"resolved\""),
        Some("Cargo.lock") => line.strip_prefix("source = ").is_some_and(|source| {
            !source.contains("registry+https://github.com/rust-lang/crates.io-index")
        }),
        _ => false,
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_bad(line));
    lines
        .map(|(index, _)| format!("{name}:{}: a lock file names no host", index + 1))
        .collect()
}

#[test]
fn nothing_is_of_one_machine() {
    let all = texts();
    assert!(
        all.iter().any(|(name, _)| name == "Cargo.toml"),
        "no files were found"
    );
    refuse(
        all.iter()
            .flat_map(|(name, text)| machine_traces(name, text))
            .collect(),
    );
}

#[test]
fn a_trace_of_a_machine_is_found() {
    for word in machine_words() {
        assert_eq!(
            machine_traces("a", &format!("x\ny = \"{word}z\"")).len(),
            1,
            "{word}"
        );
    }
    assert!(machine_traces("a", "https://example.com/work/1 src/root/x").is_empty());
}

#[test]
fn lock_files_name_no_host() {
    refuse(
        texts()
            .iter()
            .flat_map(|(name, text)| lock_traces(name, text))
            .collect(),
    );
}

#[test]
fn a_host_in_a_lock_file_is_found() {
    let npm = "  \"node_modules/a\": {\n    \"resolved\": \"https://host/a.tgz\",\n";
    assert_eq!(lock_traces("assets/web/package-lock.json", npm).len(), 1);
    assert_eq!(
        lock_traces("Cargo.lock", "source = \"sparse+https://host/\"\n").len(),
        1
    );
    assert!(lock_traces("a.json", npm).is_empty());
}

#[test]
fn ignored_files_are_not_checked() {
    let ignored = ["/target", "node_modules"];
    assert!(is_ignored(&ignored, "target"));
    assert!(is_ignored(&ignored, "assets/web/node_modules"));
    assert!(!is_ignored(&ignored, "docker/target"));
    assert!(!is_ignored(&ignored, "src/main.rs"));
}
