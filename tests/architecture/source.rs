//! Rust source read as text: comments and literals blanked, test code found, paths spelled out.
//! Enough of the language for the rules in the parent module, without a parser.

/// A path such as `crate::media::Track`, with use trees multiplied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Line where its last name stands, from 1.
    pub line: usize,
    /// Its names. A glob ends in `*`; a leading `::` is left out.
    pub names: Vec<String>,
}

impl Path {
    /// Whether the names of `path`, written with `::`, stand in a row somewhere in this one.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        self.names
            .windows(wanted.len())
            .any(|names| names.iter().zip(&wanted).all(|(name, want)| name == want))
    }
}

/// One word or sign of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    line: usize,
    text: &'a str,
}

/// The source with comments, strings and characters replaced by spaces. Lines stay where they are.
pub(crate) fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => character_end(&chars, at),
            'r' if !follows_name(&chars, at) => raw_string_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            out.extend(chars[at..end].iter().map(blank));
            at = end;
        }
    }
    out
}

fn line_end(chars: &[char], from: usize) -> usize {
    let length = chars[from..].iter().position(|c| *c == '\n');
    length.map_or(chars.len(), |length| from + length)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from + 2, 1);
    while at < chars.len() && depth > 0 {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a character literal, or `from` for a lifetime.
fn character_end(chars: &[char], from: usize) -> usize {
    if chars.get(from + 1) == Some(&'\\') {
        let close = chars.iter().skip(from + 3).position(|c| *c == '\'');
        return close.map_or(chars.len(), |close| from + 3 + close + 1);
    }
    if chars.get(from + 2) == Some(&'\'') {
        return from + 3;
    }
    from
}

/// The end of `r"…"` or `r#"…"#`, or `from` for anything else.
fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let body = from + 2 + hashes;
    let closes = |at: &usize| {
        chars[*at] == '"' && (1..=hashes).all(|hash| chars.get(at + hash) == Some(&'#'))
    };
    let close = (body..chars.len()).find(closes);
    close.map_or(chars.len(), |close| close + 1 + hashes)
}

/// Whether the character before belongs to a name. `b` and `c` before `r"` are string prefixes.
fn follows_name(chars: &[char], at: usize) -> bool {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let Some(before) = at.checked_sub(1) else {
        return false;
    };
    if matches!(chars[before], 'b' | 'c')
        && before.checked_sub(1).is_none_or(|i| !is_name(&chars[i]))
    {
        return false;
    }
    is_name(&chars[before])
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_name(first) {
                rest.find(|c| !is_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token {
                line: index + 1,
                text: &rest[..length],
            });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// For each line of `code`, whether it belongs to an item under `#[cfg(test)]`.
pub(crate) fn test_lines(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    let tokens = tokens(code);
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut at = 0;
    while at + attribute.len() <= tokens.len() {
        let here = tokens[at..].iter().zip(attribute);
        if !here.into_iter().all(|(token, want)| token.text == want) {
            at += 1;
            continue;
        }
        let end = item_end(&tokens, at + attribute.len());
        marks[tokens[at].line - 1..tokens[end].line].fill(true);
        at = end + 1;
    }
    marks
}

/// The index of the token that ends an item: its `;`, or the brace that closes its first one.
fn item_end(tokens: &[Token<'_>], from: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return index;
                }
            }
            ";" if depth == 0 => return index,
            _ => {}
        }
    }
    tokens.len() - 1
}

/// Every path and every single name in `code`; `a::{b, c::d}` gives `a::b` and `a::c::d`.
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_segment(tokens[at].text) {
            tree(&tokens, at, &[], &mut found)
        } else {
            at + 1
        };
    }
    found
}

fn is_segment(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one use tree from `at`, adds its paths, and returns the index behind it.
fn tree(tokens: &[Token<'_>], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut names = prefix.to_vec();
    loop {
        let Some(token) = tokens.get(at) else {
            return at;
        };
        let line = token.line;
        match token.text {
            "{" if !names.is_empty() => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    let before = at;
                    at = tree(tokens, at, &names, found);
                    // `as name` and commas lie between two trees.
                    if tokens.get(at).is_some_and(|token| token.text == "as") {
                        at += 2;
                    }
                    if tokens.get(at).is_some_and(|token| token.text == ",") || at == before {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" if !names.is_empty() => {
                names.push("*".to_owned());
                at += 1;
            }
            text if is_segment(text) => {
                names.push(text.to_owned());
                at += 1;
                let is_path = tokens.get(at).is_some_and(|token| token.text == "::");
                // `Vec::<u8>::new` ends as a path at `Vec`.
                let goes_on = tokens.get(at + 1).is_some_and(|next| {
                    is_segment(next.text) || next.text == "{" || next.text == "*"
                });
                if is_path && goes_on {
                    at += 1;
                    continue;
                }
            }
            _ => return at,
        }
        found.push(Path { line, names });
        return at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(code: &str) -> Vec<String> {
        let mut all = Vec::new();
        for path in paths(code) {
            all.push(format!("{}:{}", path.line, path.names.join("::")));
        }
        all
    }

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let source =
            "a // x\n/* y /* z\n */ y */ b \"c\\\"\nd\" r#\"e\"f\"# 'g' '\\'' 'h: br\"i\" j";
        let blanked = code(source);
        assert_eq!(blanked.lines().count(), source.lines().count());
        let words: Vec<&str> = blanked.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "'h:", "b", "j"]);
    }

    #[test]
    fn use_trees_are_multiplied_out() {
        let code = "use crate::{\n base::id::Uuid as U,\n media::{self, Track},\n hub::*};";
        assert_eq!(
            spelled(code),
            [
                "1:use",
                "2:crate::base::id::Uuid",
                "3:crate::media::self",
                "3:crate::media::Track",
                "4:crate::hub::*"
            ]
        );
    }

    #[test]
    fn paths_inside_expressions_are_found() {
        let code = "let x: Vec<crate::hub::Id> = Vec::<u8>::new();\nsqlx::query!(1);";
        let found = spelled(code);
        assert!(found.contains(&"1:crate::hub::Id".to_owned()), "{found:?}");
        assert!(found.contains(&"2:sqlx::query".to_owned()), "{found:?}");
    }

    #[test]
    fn test_items_are_told_from_code() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod t {\n fn c([u8; 2]) {}\n}\nfn d() {}";
        let marks = test_lines(code);
        let marked: Vec<usize> = (1..=marks.len()).filter(|line| marks[line - 1]).collect();
        assert_eq!(marked, [2, 3, 5, 6, 7, 8]);
    }

    #[test]
    fn a_row_of_names_is_found_in_a_longer_path() {
        let found = &paths("std::time::Instant::now()")[0];
        assert!(found.contains("Instant::now"));
        assert!(!found.contains("time::now"));
    }
}
