//! The text of a script, put together from its files.

use std::collections::HashSet;

/// Start of a comment.
const COMMENT: &str = "--";

/// Lines of a file that belong together: a definition that a script may lack, or anything else.
struct Part<'a> {
    /// Name of the function or constant, if that is all that the part is.
    defines: Option<&'a str>,
    lines: Vec<&'a str>,
}

/// A function of one line, whose calls are replaced by what it returns: `local function NAME(PARAMETER) return VALUE end`.
struct Inlined<'a> {
    name: &'a str,
    parameter: &'a str,
    value: &'a str,
}

/// Returns the text of a script: its last file and, of the files before it, what that needs. Each run of a script creates
/// all its functions, each of which takes as long as half a command, so those that are never called are left out, and
/// those of one line are inlined.
pub(super) fn assemble(flags: &str, files: &[&str]) -> String {
    let (last, shared) = files.split_last().expect("a script has a file");
    let parts: Vec<Part<'_>> = shared.iter().flat_map(|file| split(file)).collect();
    let inlined: Vec<Inlined<'_>> = parts.iter().filter_map(Inlined::new).collect();
    let last = inline(last, &inlined);
    let texts: Vec<String> = parts.iter().map(|part| inline(&part.lines.join("\n"), &inlined)).collect();
    let mut used: HashSet<&str> = names(&last).collect();
    let mut kept: Vec<&str> = vec![&last];
    // A definition uses only those above it.
    for (part, text) in parts.iter().zip(&texts).rev() {
        if part.defines.is_none_or(|name| used.contains(name)) {
            used.extend(names(text));
            kept.push(text);
        }
    }
    let head = format!("#!lua{flags}");
    kept.push(&head);
    kept.reverse();
    kept.join("\n")
}

impl<'a> Inlined<'a> {
    fn new(part: &Part<'a>) -> Option<Self> {
        let [line] = part.lines[..] else { return None };
        let (name, rest) = line.strip_prefix("local function ")?.split_once('(')?;
        let (parameter, rest) = rest.split_once(") return ")?;
        Some(Self { name, parameter, value: code(rest).trim_end().strip_suffix(" end")? })
    }

    /// Returns what a call with this argument returns.
    fn value_for(&self, argument: &str) -> String {
        let words = self.value.split(' ').map(|word| if word == self.parameter { argument } else { word });
        format!("({})", words.collect::<Vec<_>>().join(" "))
    }
}

/// Replaces the calls of these functions in a text. The number of lines remains.
fn inline(text: &str, functions: &[Inlined<'_>]) -> String {
    let lines =
        text.lines().map(|line| functions.iter().fold(line.to_owned(), |line, function| inline_one(&line, function)));
    lines.collect::<Vec<_>>().join("\n")
}

fn inline_one(line: &str, function: &Inlined<'_>) -> String {
    let call = format!("{}(", function.name);
    let (mut done, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once(&call) {
        done.push_str(before);
        let is_call = !before.ends_with(is_part_of_name) && !before.ends_with("function ");
        rest = match after.split_once(')') {
            Some((argument, after)) if is_call && !argument.contains('(') => {
                done.push_str(&function.value_for(argument));
                after
            }
            _ => {
                done.push_str(&call);
                after
            }
        };
    }
    done + rest
}

/// Splits a file at its definitions: functions from `local function` to the `end` at the start of a line, and constants
/// of one line.
fn split(file: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut lines = file.lines();
    while let Some(line) = lines.next() {
        let mut part = Part { defines: defined_name(line), lines: vec![line] };
        if part.defines.is_some() && line.starts_with("local function") && !is_one_line(line) {
            for line in lines.by_ref() {
                part.lines.push(line);
                if line == "end" {
                    break;
                }
            }
        }
        parts.push(part);
    }
    parts
}

/// Returns the name of the function or constant that begins in a line. A constant is in capitals.
fn defined_name(line: &str) -> Option<&str> {
    let definition = line.strip_prefix("local ")?;
    if let Some(function) = definition.strip_prefix("function ") {
        return names(function).next();
    }
    let (name, _) = definition.split_once(" = ")?;
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_').then_some(name)
}

fn is_one_line(function: &str) -> bool {
    code(function).trim_end().ends_with(" end")
}

/// Returns all words outside comments.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| code(line).split(|character| !is_part_of_name(character)))
}

fn is_part_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn code(line: &str) -> &str {
    line.split_once(COMMENT).map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "\
-- Names.
local PREFIX = 'a'
local UNUSED = PREFIX .. 'b' -- never
local function one_key(name) return PREFIX .. name end -- used by two
local function other_key(name) return UNUSED .. name end
local time = redis.call('TIME')
local function one()
  if true then
    return one_key('x') .. one_key(time)
  end
end
local function two()
  return one(one_key)
end
local function three()
  return two()
end
";

    #[test]
    fn a_script_has_the_definitions_that_it_needs_and_all_statements() {
        let text = assemble(" flags=no-writes", &[SHARED, "-- Not three.\nreturn {two()}\n"]);
        let expected = "\
#!lua flags=no-writes
-- Names.
local PREFIX = 'a'
local function one_key(name) return PREFIX .. name end -- used by two
local time = redis.call('TIME')
local function one()
  if true then
    return (PREFIX .. 'x') .. (PREFIX .. time)
  end
end
local function two()
  return one(one_key)
end
-- Not three.
return {two()}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_script_of_one_file_is_that_file() {
        assert_eq!(assemble("", &["return 1\n"]), "#!lua\nreturn 1");
    }
}
