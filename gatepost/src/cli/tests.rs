//! Tests of the help and of the options that commands take.

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    command().debug_assert();
}

/// Returns the long options in the help of a command.
fn shown(path: &[&str]) -> Vec<String> {
    let mut root = command();
    root.build();
    let of_path = path.iter().fold(&mut root, |command, name| command.find_subcommand_mut(name).unwrap());
    let help = of_path.render_help().to_string();
    let of_all = help.split_once("Options of all commands:").map_or("", |(_, options)| options);
    let names = of_all.lines().filter_map(|line| line.trim().strip_prefix("--"));
    names.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn commands_show_the_options_that_they_use() {
    assert_eq!(shown(&["completions"]), [""; 0]);
    for client in [&["listen"][..], &["key", "create"], &["gateway", "list"]] {
        assert_eq!(shown(client), ["config", "admin-listen"], "{client:?}");
    }
    for offline in [&["backup"][..], &["access-key", "revoke"], &["store", "copy"], &["master-key", "rotate"]] {
        assert_eq!(shown(offline), ["config", "store"], "{offline:?}");
    }
    assert_eq!(shown(&["deliverer"]), ["config", "store", "ops-listen"]);
    assert_eq!(shown(&["up"]), shown(&[]));
    assert_eq!(shown(&["up"]).len(), 8);
}

#[test]
fn a_command_shows_its_own_options_together() {
    let mut root = command();
    root.build();
    let key = root.find_subcommand_mut("key").unwrap();
    let help = key.find_subcommand_mut("create").unwrap().render_help().to_string();
    let starts = ["\nOptions:", "  --allowed-domains ", "\nAdmin API:", "--admin-url ", "--output "];
    let order: Vec<_> = starts.iter().map(|start| help.find(start)).collect();
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{help}");
}

#[test]
fn commands_accept_options_that_they_do_not_show() {
    let arguments = ["gatepost", "listen", "--forward-to", "http://localhost/", "--upstream", "http://a"];
    let matches = command().try_get_matches_from(arguments).unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    assert_eq!(cli.options.upstream.as_deref(), Some("http://a"));
}

#[test]
fn only_a_check_takes_a_store_without_a_url() {
    let parse = |arguments: &[&str]| command().try_get_matches_from(arguments);
    for (arguments, store) in [
        (&["gatepost", "check", "--store"][..], ""),
        (&["gatepost", "check", "--store", "redis://a"], "redis://a"),
        (&["gatepost", "--store", "redis://a", "check"], "redis://a"),
        (&["gatepost", "access-key", "list", "--store", "redis://a"], "redis://a"),
    ] {
        let cli = Cli::from_arg_matches(&parse(arguments).unwrap()).unwrap();
        assert_eq!(cli.options.store.as_deref(), Some(store), "{arguments:?}");
    }
    assert!(parse(&["gatepost", "up", "--store"]).is_err());
}
