//! Sources as tokens: no white space, comments, strings or characters, and no tests.
//!
//! This is no compiler: paths made by macros, and a `super` inside a group, are not followed.

/// What stands before the `#[cfg(test)]` module that ends the file; nothing of a file of tests.
pub(crate) fn production<'a>(path: &str, text: &'a str) -> &'a str {
    if path.starts_with("src/") && (path.ends_with("/tests.rs") || path.contains("/tests/")) {
        return "";
    }
    let mut lines = text.split_inclusive('\n');
    let mut bytes = 0;
    while let Some(line) = lines.next() {
        let opens_tests = || lines.clone().find(|next| !next.starts_with("#[")).is_some_and(opens_module);
        if line.trim_end() == "#[cfg(test)]" && line.starts_with('#') && opens_tests() {
            break;
        }
        bytes += line.len();
    }
    &text[..bytes]
}

fn opens_module(line: &str) -> bool {
    line.split_whitespace().any(|word| word == "mod") && line.trim_end().ends_with('{')
}

/// A word or a sign of the source; `::` is one sign.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// The source without white space, comments, strings and characters.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut found, mut rest, mut line) = (Vec::new(), source, 1);
    while !rest.is_empty() {
        let (bytes, is_code) = measure(rest);
        let (text, after) = rest.split_at(bytes);
        if is_code {
            found.push(Token { line, text });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The bytes of what `rest` begins with, and whether it is code.
fn measure(rest: &str) -> (usize, bool) {
    let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if let Some(bytes) = string(rest).or_else(|| character(rest)) {
        (bytes, false)
    } else if word > 0 {
        (word, true)
    } else if rest.starts_with("::") {
        (2, true)
    } else {
        rest.chars().next().map_or((0, false), |sign| (sign.len_utf8(), !sign.is_whitespace()))
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(is_of_word)
}

/// The bytes of a block comment, whose likes may nest.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    rest.len()
}

/// The bytes of a string literal of any kind: `"`, `b"`, `c"`, `r#"`, `br"`.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let hashes = if rest[..prefix].ends_with('r') { rest[prefix..].find(|c| c != '#')? } else { 0 };
    let start = prefix + hashes + 1;
    if !rest[prefix + hashes..].starts_with('"') {
        return None;
    }
    if rest[..prefix].ends_with('r') {
        let closing = format!("\"{}", "#".repeat(hashes));
        return Some(rest[start..].find(&closing).map_or(rest.len(), |bytes| start + bytes + closing.len()));
    }
    let mut characters = rest[start..].char_indices();
    while let Some((bytes, c)) = characters.next() {
        match c {
            '"' => return Some(start + bytes + 1),
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    Some(rest.len())
}

/// The bytes of a character literal; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut characters = inside.char_indices();
    if characters.next()?.1 == '\\' {
        let (escaped, _) = characters.next()?;
        return inside[escaped + 1..].find('\'').map(|bytes| escaped + bytes + 3);
    }
    characters.next().filter(|(_, closing)| *closing == '\'').map(|(bytes, _)| bytes + 2)
}

/// The names that follow `root::` anywhere, also those in a group: `a` and `b` of `root::{a::C, b}`.
pub(crate) fn names_under<'a>(code: &[Token<'a>], root: &str) -> Vec<Token<'a>> {
    let starts = code.windows(3).enumerate().filter(|(_, start)| start[0].text == root && start[1].text == "::");
    starts
        .flat_map(|(at, start)| if start[2].text == "{" { names_of_group(&code[at + 2..]) } else { vec![start[2]] })
        .collect()
}

/// The names at the head of each path in the group that `code` begins with.
fn names_of_group<'a>(code: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut names, mut depth) = (Vec::new(), 0);
    for pair in code.windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text, "{" | ",") && pair[1].text != "}" {
            names.push(pair[1]);
        }
    }
    names
}

/// The lines where a chain of `super::` reaches the crate's root.
pub(crate) fn climbs_to_the_root(path: &str, code: &[Token<'_>]) -> Vec<usize> {
    let depth = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').skip(1).count();
    let chain_at = |at: usize| code[at..].chunks(2).take_while(|link| link[0].text == "super").count();
    let is_head = |at: usize| code[at].text == "super" && !(at >= 2 && code[at - 2].text == "super");
    let climbs = |at: &usize| is_head(*at) && chain_at(*at) >= depth;
    (0..code.len()).filter(climbs).map(|at| code[at].line).collect()
}

/// The line on which the function ends that `code` begins with.
pub(crate) fn last_line_of_function(code: &[Token<'_>]) -> usize {
    let (mut brackets, mut braces) = (0, 0);
    for token in code {
        match token.text {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            "{" => braces += 1,
            "}" => braces -= 1,
            _ => {}
        }
        let has_ended = token.text == "}" || token.text == ";";
        if has_ended && braces == 0 && brackets == 0 {
            return token.line;
        }
    }
    code.last().map_or(0, |token| token.line)
}
