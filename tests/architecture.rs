//! The rules of the layer table and of the style as tests over the source text. Each rule has a
//! function that takes text and gives violations, one test over the repository, and one test with a
//! snippet that breaks it.

mod files;
mod source;

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use source::{Path, code, paths, test_lines};

/// Lines of a file without its tests. A longer file is more than one page of thought.
const MAX_LINES: usize = 500;

/// The one file with unsafe code: the binding of libsrt.
const UNSAFE_FILE: &str = "ingest/srt/ffi.rs";

/// Folders and files (by name) that are pure: no tokio in them.
const PURE_FOLDERS: [&str; 3] = ["media/", "format/", "manifest/"];
const PURE_FILES: [&str; 7] = [
    "session.rs",
    "program.rs",
    "schedule.rs",
    "segmenter.rs",
    "observer.rs",
    "doctor.rs",
    "story.rs",
];

/// A file below `src`, without comments, literals and test code.
struct Source {
    /// Path below `src`, with `/`.
    name: String,
    /// Lines that are not test code, comments included.
    lines: usize,
    paths: Vec<Path>,
}

impl Source {
    fn new(name: &str, text: &str) -> Source {
        let code = code(text);
        let is_test = test_lines(&code);
        let mut kept = String::new();
        for (line, is_test) in code.lines().zip(&is_test) {
            kept.push_str(if *is_test { "" } else { line });
            kept.push('\n');
        }
        Source {
            name: name.to_owned(),
            lines: is_test.iter().filter(|is_test| !**is_test).count(),
            paths: paths(&kept),
        }
    }

    /// The names of its modules from the crate's root, such as `["ingest", "rtmp", "chunk"]`.
    fn module(&self) -> Vec<&str> {
        let stem = self.name.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        stem.split('/').collect()
    }

    fn violation(&self, line: usize, rule: &str) -> String {
        format!("src/{}:{line}: {rule}", self.name)
    }

    /// A violation for each path that `is_banned`.
    fn banned(&self, rule: &str, is_banned: impl Fn(&Path) -> bool) -> Vec<String> {
        let hits = self.paths.iter().filter(|path| is_banned(path));
        hits.map(|path| self.violation(path.line, &format!("{} ({rule})", path.names.join("::"))))
            .collect()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` for which `enters` and `takes` hold, in order.
fn walk(folder: &FilePath, enters: &dyn Fn(&FilePath) -> bool, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if !enters(&path) {
            continue;
        }
        if path.is_dir() {
            walk(&path, enters, into);
        } else {
            into.push(path);
        }
    }
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// Every file of `src` that is not a test file.
fn sources() -> Vec<Source> {
    let (root, mut files) = (root().join("src"), Vec::new());
    walk(&root, &|_| true, &mut files);
    let mut sources = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).expect("it lies below src");
        let name = name.to_str().expect("names are ASCII").replace('\\', "/");
        if name.ends_with(".rs") && !is_test_file(&name) {
            let text = std::fs::read_to_string(&file).expect("the source is text");
            sources.push(Source::new(&name, &text));
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// The violations of all sources; the message names each.
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    refuse(sources().iter().flat_map(rule).collect());
}

fn refuse(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Whether a rule finds something in a file of this name with this text.
fn finds(rule: impl Fn(&Source) -> Vec<String>, name: &str, text: &str) -> bool {
    !rule(&Source::new(name, text)).is_empty()
}

/// What each module may import, from the table in the crate's documentation; `None` is everything.
type Layers = BTreeMap<String, Option<Vec<String>>>;

fn layers(lib: &str) -> Layers {
    let words = |cell: &str| -> Vec<String> {
        let names = cell
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    let mut layers = Layers::new();
    let head = |line: &&str| !line.contains("may import");
    let rows = lib.lines().skip_while(head).skip(2);
    for row in rows.map_while(|line| line.strip_prefix("//! |")) {
        let Some((modules, imports)) = row.trim_end_matches('|').split_once('|') else {
            continue;
        };
        for module in words(modules) {
            let imports = match imports.trim() {
                "all" => None,
                "nothing" => Some(Vec::new()),
                _ => Some(words(imports)),
            };
            layers.insert(module, imports);
        }
    }
    layers
}

fn lib_layers() -> Layers {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs can be read");
    layers(&lib)
}

/// The top-level module that a path leads to, when it is spelled from the root or climbs to it.
fn top_module<'a>(path: &'a Path, module: &[&str]) -> Option<&'a str> {
    let climbs = path.names.iter().take_while(|name| *name == "super");
    let climbs = climbs.count();
    let at = match path.names[0].as_str() {
        "crate" => 1,
        "super" if climbs >= module.len() => climbs,
        _ => return None,
    };
    path.names.get(at).map(String::as_str)
}

fn imports(source: &Source, layers: &Layers) -> Vec<String> {
    let module = source.module();
    if matches!(module[0], "main" | "lib") {
        return Vec::new();
    }
    let Some(allowed) = layers.get(module[0]) else {
        let rule = format!("`{}` is missing in the layer table of lib.rs", module[0]);
        return vec![source.violation(1, &rule)];
    };
    let Some(allowed) = allowed else {
        return Vec::new();
    };
    let rule = format!("`{}` may import only {allowed:?}", module[0]);
    source.banned(&rule, |path| {
        let top = top_module(path, &module);
        top.is_some_and(|top| top != module[0] && !allowed.iter().any(|name| name == top))
    })
}

fn too_long(source: &Source) -> Vec<String> {
    if source.lines <= MAX_LINES {
        return Vec::new();
    }
    let rule = format!("{} lines without tests, at most {MAX_LINES}", source.lines);
    vec![source.violation(source.lines, &rule)]
}

fn sql(source: &Source) -> Vec<String> {
    if source.name.starts_with("store/") {
        return Vec::new();
    }
    source.banned("sqlx only in store", |path| path.contains("sqlx"))
}

fn gstreamer(source: &Source) -> Vec<String> {
    if source.name.starts_with("transcode/") {
        return Vec::new();
    }
    let is_gstreamer = |path: &Path| {
        let first = path.names[0].as_str();
        (first == "gst" && path.names.len() > 1)
            || path.names.iter().any(|name| name.starts_with("gstreamer"))
    };
    source.banned("GStreamer only in transcode", is_gstreamer)
}

fn tokio_in_pure_code(source: &Source) -> Vec<String> {
    let file = source.name.rsplit('/').next().unwrap_or_default();
    let is_pure = PURE_FOLDERS
        .iter()
        .any(|folder| source.name.starts_with(folder))
        || PURE_FILES.contains(&file);
    if !is_pure {
        return Vec::new();
    }
    source.banned("no tokio in sans-IO code", |path| {
        matches!(path.names[0].as_str(), "tokio" | "tokio_util")
    })
}

fn clocks(source: &Source) -> Vec<String> {
    if source.name == "base/clock.rs" {
        return Vec::new();
    }
    source.banned("clocks are read in base/clock.rs", |path| {
        path.contains("Instant::now") || path.contains("SystemTime::now")
    })
}

fn unbounded(source: &Source) -> Vec<String> {
    source.banned("every channel is bounded", |path| {
        path.names
            .iter()
            .any(|name| name.starts_with("unbounded_channel"))
            || path.contains("std::sync::mpsc::channel")
    })
}

fn untracked_tasks(source: &Source) -> Vec<String> {
    if source.name == "base/shutdown.rs" {
        return Vec::new();
    }
    source.banned("tasks start in base/shutdown.rs", |path| {
        path.contains("tokio::spawn")
            || path.contains("task::spawn")
            || path.contains("task::spawn_local")
    })
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if source.name == UNSAFE_FILE {
        return Vec::new();
    }
    let rule = format!("unsafe code only in {UNSAFE_FILE}");
    source.banned(&rule, |path| path.contains("unsafe"))
}

#[test]
fn imports_follow_the_layer_table() {
    let layers = lib_layers();
    check(|source| imports(source, &layers));
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    let table = "//! | module | may import |\n//! |---|---|\n//! | base | nothing |\n//! | `hub`, origin | base |\n//! | app | all |\n";
    let layers = layers(table);
    let rule = |source: &Source| imports(source, &layers);
    for text in [
        "use crate::origin::Cache;",
        "use crate::{base::id, origin};",
        "fn f(x: &crate::origin::Cache) {}",
        "use crate::*;",
        "use super::super::origin::Cache;",
        "pub use crate::{base::{id, clock}, app::{self}};",
    ] {
        assert!(finds(rule, "hub/gate.rs", text), "{text}");
    }
    for text in [
        "use crate::{base::id, hub::Stream};",
        "// use crate::origin;",
        "use super::publisher;",
        "pub(crate) fn origin() {}",
        "#[cfg(test)]\nmod tests {\n use crate::origin;\n}",
    ] {
        assert!(!finds(rule, "hub/gate.rs", text), "{text}");
    }
    assert!(finds(rule, "hub/mod.rs", "use super::origin;"));
    assert!(finds(rule, "base/id.rs", "use crate::hub;"));
    assert!(
        finds(rule, "novel/mod.rs", ""),
        "a module outside the table"
    );
    assert!(!finds(rule, "app.rs", "use crate::origin;"));
}

#[test]
fn every_module_is_in_the_layer_table() {
    let layers = lib_layers();
    let mut violations = Vec::new();
    for source in sources() {
        let top = source.module()[0].to_owned();
        if !matches!(top.as_str(), "main" | "lib") && !layers.contains_key(&top) {
            violations.push(source.violation(1, "its module is not in lib.rs's table"));
        }
    }
    refuse(violations);
}

#[test]
fn files_are_at_most_500_lines_without_tests() {
    check(too_long);
}

#[test]
fn a_long_file_is_found_and_tests_do_not_count() {
    let code = "fn f() {}\n".repeat(MAX_LINES);
    assert!(!finds(too_long, "hub/mod.rs", &code));
    assert!(finds(
        too_long,
        "hub/mod.rs",
        &format!("{code}fn g() {{}}\n")
    ));
    let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert!(!finds(too_long, "hub/mod.rs", &tests));
}

#[test]
fn sql_is_only_in_store() {
    check(sql);
    assert!(finds(sql, "control/keys.rs", "use sqlx::Row;"));
    assert!(finds(sql, "hub/mod.rs", "fn f() { sqlx::query!(\"x\"); }"));
    assert!(!finds(sql, "store/mod.rs", "use sqlx::Row;"));
}

#[test]
fn gstreamer_is_only_in_transcode() {
    check(gstreamer);
    assert!(finds(gstreamer, "package/mod.rs", "use gstreamer as gst;"));
    assert!(finds(
        gstreamer,
        "package/mod.rs",
        "use gstreamer_app::AppSrc;"
    ));
    assert!(finds(gstreamer, "app.rs", "fn f() { gst::init(); }"));
    assert!(!finds(
        gstreamer,
        "transcode/worker.rs",
        "use gstreamer as gst;"
    ));
}

#[test]
fn sans_io_code_knows_no_tokio() {
    check(tokio_in_pure_code);
    let text = "use tokio::sync::mpsc;";
    for name in [
        "media/unit.rs",
        "ingest/rtmp/session.rs",
        "package/segmenter.rs",
    ] {
        assert!(finds(tokio_in_pure_code, name, text), "{name}");
    }
    assert!(!finds(tokio_in_pure_code, "ingest/rtmp/mod.rs", text));
}

#[test]
fn clocks_are_read_in_one_file() {
    check(clocks);
    assert!(finds(
        clocks,
        "hub/mod.rs",
        "let t = std::time::Instant::now();"
    ));
    assert!(finds(
        clocks,
        "hub/mod.rs",
        "let f = tokio::time::Instant::now;"
    ));
    assert!(finds(clocks, "hub/mod.rs", "SystemTime::now()"));
    assert!(!finds(clocks, "base/clock.rs", "Instant::now()"));
}

#[test]
fn every_channel_is_bounded() {
    check(unbounded);
    assert!(finds(
        unbounded,
        "hub/mod.rs",
        "use tokio::sync::mpsc::{unbounded_channel as c};"
    ));
    assert!(finds(
        unbounded,
        "hub/mod.rs",
        "let (a, b) = std::sync::mpsc::channel();"
    ));
    assert!(!finds(
        unbounded,
        "hub/mod.rs",
        "let (a, b) = mpsc::channel(8);"
    ));
}

#[test]
fn every_task_is_tracked() {
    check(untracked_tasks);
    assert!(finds(untracked_tasks, "hub/mod.rs", "tokio::spawn(f());"));
    assert!(finds(
        untracked_tasks,
        "hub/mod.rs",
        "use tokio::{net, task::{self, spawn}};"
    ));
    assert!(!finds(
        untracked_tasks,
        "hub/mod.rs",
        "tokio::task::spawn_blocking(f)"
    ));
    assert!(!finds(untracked_tasks, "hub/mod.rs", "tasks.spawn(f());"));
}

#[test]
fn unsafe_code_is_only_in_the_libsrt_binding() {
    check(unsafe_code);
    assert!(finds(
        unsafe_code,
        "hub/mod.rs",
        "fn f() { unsafe { g() } }"
    ));
    assert!(!finds(
        unsafe_code,
        "hub/mod.rs",
        "#![deny(unsafe_code)] // unsafe"
    ));
    assert!(!finds(unsafe_code, UNSAFE_FILE, "unsafe extern \"C\" {}"));
}

#[test]
fn lints_that_the_style_relies_on_are_on() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("it can be read");
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let is_denied = |tool: &str, lint: &str| manifest["lints"][tool][lint].as_str() == Some("deny");
    assert!(is_denied("rust", "unsafe_code"));
    for lint in ["await_holding_lock", "dbg_macro", "todo", "unwrap_used"] {
        assert!(is_denied("clippy", lint), "{lint}");
    }
    for folder in ["media", "format"] {
        let file = root().join("src").join(folder).join("mod.rs");
        let text = code(&std::fs::read_to_string(file).expect("it can be read"));
        for lint in ["possible_truncation", "sign_loss", "possible_wrap"] {
            let lint = format!("clippy::cast_{lint}");
            assert!(
                text.contains(&lint),
                "src/{folder}/mod.rs:1: {lint} is not on"
            );
        }
    }
}
