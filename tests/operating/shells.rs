//! What a shell completes, and the manual pages.

use crate::support::program::Home;

#[tokio::test]
async fn each_shell_gets_a_script_that_knows_every_command() {
    let home = Home::bare("these are no settings, and none are needed");
    let help = home.cli(&["--help"]).await.ok();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"serve") && commands.contains(&"webhooks"), "{commands:?}");
    for (shell, sign) in
        [("bash", "complete -F _hikyaku "), ("zsh", "#compdef hikyaku"), ("fish", "\ncomplete -c hikyaku ")]
    {
        let script = home.cli(&["completions", shell]).await.ok();
        assert!(script.contains(sign), "{shell} has another shell's script");
        for command in &commands {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    home.shell("\"$HIKYAKU\" completions bash > script && bash -n script").await.ok();
    // As bash asks for what may follow `hikyaku we`.
    let asks =
        "source ./script; COMP_WORDS=(hikyaku we) COMP_CWORD=1; _hikyaku hikyaku we hikyaku; echo \"${COMPREPLY[@]}\"";
    home.write("ask", asks);
    assert_eq!(home.shell("bash ask").await.ok().trim(), "webhooks");

    home.cli(&["man", "--dir", "pages"]).await.ok();
    for command in commands {
        let page = std::fs::read_to_string(home.path(&format!("pages/hikyaku-{command}.1")));
        let page = page.unwrap_or_else(|error| panic!("{command} has no page: {error}"));
        assert!(page.contains(".TH") && page.contains(".SH NAME"), "{command}: {page}");
    }
    let page = std::fs::read_to_string(home.path("pages/hikyaku-webhooks-create.1")).expect("a page");
    assert!(page.contains("\\-\\-user") && page.contains("Whose events it gets"), "{page}");
}
