//! Templates, what they work on, and what comes out.

use super::{Template, Value};

fn render(template: &str) -> Result<String, String> {
    let data = serde_json::json!({
        "Id": "0123456789abcdef", "Name": "/web", "State": {"Running": true, "ExitCode": 0, "Pid": 4711},
        "Config": {"Cmd": ["sh", "-c", "x"], "Labels": {"a.b": "c", "team": "red"}, "Env": null},
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/udp": null},
        "Size": 1.5, "Big": 1e21, "Empty": [], "Text": "a,b,c"
    });
    Template::parse(template).and_then(|template| template.render(&Value::from(data))).map_err(|err| match &err.hint {
        Some(hint) => format!("{err} [{hint}]"),
        None => err.to_string(),
    })
}

#[test]
fn what_people_write() {
    for (template, want) in [
        ("{{.Id}}", "0123456789abcdef"),
        ("{{.ID}} {{.State.Pid}}", "0123456789abcdef 4711"),
        ("{{ .State.Running }}|{{.Size}}|{{.Big}}", "true|1.5|1e+21"),
        ("{{.Config.Cmd}} {{.Config.Labels}}", "[sh -c x] map[a.b:c team:red]"),
        ("{{json .Config.Cmd}} {{json .State}}", r#"["sh","-c","x"] {"Running":true,"ExitCode":0,"Pid":4711}"#),
        ("{{index .Config.Labels \"a.b\"}}", "c"),
        ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{index .Config.Cmd 1}}", "-c"),
        ("{{range .Config.Cmd}}<{{.}}>{{end}}", "<sh><-c><x>"),
        ("{{range $i, $w := .Config.Cmd}}{{if $i}}, {{end}}{{$i}}={{$w}}{{end}}", "0=sh, 1=-c, 2=x"),
        ("{{range $p, $b := .Ports}}{{$p}}{{range $b}}->{{.HostPort}}{{end}} {{end}}", "80/tcp->8080 90/udp "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}no check{{end}}", "no check"),
        ("{{with .Config.Labels}}{{.team}}{{end}}", "red"),
        ("{{if eq .Name \"/web\" \"/db\"}}a{{else if .X}}b{{else}}c{{end}}", "a"),
        ("{{if and .State.Running (gt .State.Pid 1)}}up{{end}}", "up"),
        ("{{if or .Nope (not .State.Running)}}x{{else}}y{{end}}", "y"),
        ("{{join .Config.Cmd \" \"}} {{.Name | upper}} {{len .Config.Cmd}}", "sh -c x /WEB 3"),
        ("{{range split .Text \",\"}}{{.}};{{end}}", "a;b;c;"),
        (
            "{{truncate .Id 12}} {{slice .Id 0 4}} {{title \"ab cd\"}} {{pad \"x\" 1 2}}|",
            "0123456789ab 0123 Ab Cd  x  |",
        ),
        ("{{printf \"%-6s|%5d|%05.2f|%q|%x\" .Name .State.Pid .Size \"q\" 255}}", "/web  | 4711|01.50|\"q\"|ff"),
        ("{{$x := .Name}}{{$x}}{{println .Name 1}}", "/web/web 1\n"),
        ("a {{- /* nothing */ -}} b {{- .Name -}}  c", "ab/webc"),
        ("{{.Config.Labels.missing}}|{{.Config.Env}}", "<no value>|<no value>"),
        ("{{range .Config.Cmd}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}}{{end}}", "sh"),
        ("{{\"\\t\\u00e9`\"}}{{`raw\\n`}}{{'a'}}", "\té`raw\\n97"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-/web"),
        ("{{range $.Config.Cmd}}{{$.Name}}{{end}}", "/web/web/web"),
    ] {
        assert_eq!(render(template).as_deref(), Ok(want), "{template}");
    }
}

#[test]
fn mistakes_are_named() {
    for (template, want) in [
        ("{{.Nmae}}", "template column 3: there is no field .Nmae [did you mean Name?]"),
        ("{{.Name", "template column 1: the action is not closed: }} is missing"),
        ("{{if .Name}}x", "template column 14: the if is not closed: {{end}} is missing"),
        ("x{{end}}", "template column 2: end without an if, with or range before it"),
        ("{{Name}}", "template column 3: there is no function \"Name\" [fields start with a dot: .Name]"),
        ("{{jsn .}}", "template column 3: there is no function \"jsn\" [did you mean json?]"),
        ("{{\"a}}", "template column 3: the text is not closed: \" is missing"),
        ("{{.Name.First}}", "template column 3: text has no field .First"),
        ("{{index .Config.Cmd 9}}", "template column 3: index: 9 is not one of 3 entries"),
        ("{{(.Name}}", "template column 3: ) is missing"),
        ("{{}}", "template column 1: a value is missing"),
        ("{{range .Name}}{{end}}", "template column 1: cannot range over text"),
        ("{{template \"x\"}}", "template column 1: template is not supported"),
        ("{{break}}", "template column 1: break outside a range"),
        ("{{$y}}", "template column 3: there is no variable $y"),
        ("{{lt .Name 1}}", "template column 3: lt: text and a number have no order"),
        ("{{.Name 1}}", "template column 3: text takes no arguments"),
        ("{{#}}", "template column 3: unexpected '#'"),
    ] {
        assert_eq!(render(template).unwrap_err(), want, "{template}");
    }
}

#[test]
fn deep_nesting_is_refused_rather_than_overflowing() {
    assert!(render(&format!("{{{{{}.{}}}}}", "(".repeat(5000), ")".repeat(5000))).is_err());
    assert!(render(&"{{if .Name}}".repeat(5000)).is_err());
}
