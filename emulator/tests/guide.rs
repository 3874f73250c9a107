//! The worked example of README.md: its kernel, its command and what the command prints.

use std::process::Command;

fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let section = text.split("## A missing fence").nth(1).expect("the section is there");
    let start = section.split(&format!("```{language}\n")).nth(1).expect("the block is there");
    start.split("```").next().expect("the block ends")
}

#[test]
fn the_example_of_the_readme_prints_what_it_says() {
    let readme = include_str!("../README.md");
    let (kernel, command, printed) = (block(readme, "ptx"), block(readme, "sh"), block(readme, "text"));
    let dir = std::env::temp_dir().join(format!("gpu-emulator-guide-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let words: Vec<&str> =
        command.split_once(" -- ").expect("the command has arguments").1.split_whitespace().collect();
    // Tests lie beside the folder of the examples.
    let exe = std::env::current_exe().unwrap();
    let example = exe.parent().and_then(|d| d.parent()).unwrap().join("examples").join("run");
    let run = |kernel: &str| {
        std::fs::write(dir.join(words[0]), kernel).unwrap();
        Command::new(&example).current_dir(&dir).args(&words).output().unwrap()
    };
    let out = run(kernel);
    assert_eq!(String::from_utf8_lossy(&out.stdout), printed);
    assert_eq!(out.status.code(), Some(1));
    // With the line that the text names put in, nothing is found.
    let line = "    fence.proxy.async.shared::cta;\n";
    let out = run(&kernel.replace("    bar.sync 0;\n", &format!("{line}    bar.sync 0;\n")));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "");
    assert!(out.status.success());
    std::fs::remove_dir_all(&dir).unwrap();
}
