//! Completions, as a shell uses them, and manual pages.

use std::process::Command;

use crate::process::run;

#[test]
fn bash_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    let script = run(directory.path(), &["completions", "bash"]);
    assert!(script.status.success());
    let file = directory.path().join("completions");
    std::fs::write(&file, &script.stdout).unwrap();
    for (words, word, expected) in [("gatepost hea", 1, "health"), ("gatepost key create --na", 3, "--name")] {
        let complete = format!(
            "set -eu; . {}; COMP_WORDS=({words}); COMP_CWORD={word}; _gatepost gatepost ${{COMP_WORDS[{word}]}} \
             ${{COMP_WORDS[{}]}}; echo \"${{COMPREPLY[@]}}\"",
            file.display(),
            word - 1,
        );
        let output = Command::new("bash").args(["-c", &complete]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), expected, "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = run(directory.path(), &["completions", shell]);
        assert!(String::from_utf8_lossy(&script.stdout).contains("health"), "{shell}");
    }
    assert_eq!(run(directory.path(), &["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    assert!(run(directory.path(), &["man", &path]).status.success());
    for page in ["gatepost.1", "gatepost-up.1", "gatepost-key-create.1", "gatepost-health.1"] {
        let text = std::fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let nowhere = run(directory.path(), &["man", "nowhere"]);
    let text = String::from_utf8_lossy(&nowhere.stderr);
    assert!(nowhere.status.code() == Some(1) && text.contains("cannot be written to nowhere"), "{text}");
}
