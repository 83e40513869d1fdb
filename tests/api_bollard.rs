//! The Rust client `bollard` drives the socket: its types are made from the API's own description, so that an answer
//! of another shape fails here.

#![allow(clippy::unwrap_used)] // what a client cannot do fails the test

mod support;

use std::{collections::HashMap, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{
        ContainerCreateBody, ContainerUpdateBody, HostConfig, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest, VolumeCreateRequest,
    },
    query_parameters as query,
};
use futures_util::{StreamExt, TryStreamExt};
use support::Host;
use tokio::io::AsyncWriteExt;

fn connect(host: &Host) -> Docker {
    Docker::connect_with_unix(&host.docker_host(), 30, API_DEFAULT_VERSION).unwrap()
}

fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("no client hangs") })
}

fn body(command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        ..ContainerCreateBody::default()
    }
}

async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) -> String {
    let options = query::CreateContainerOptionsBuilder::new().name(name).build();
    docker.create_container(Some(options), body).await.unwrap().id
}

fn text(pieces: &[LogOutput]) -> String {
    pieces.iter().map(ToString::to_string).collect()
}

#[test]
fn containers_and_their_streams() {
    let host = Host::new();
    host.busybox();
    block_on(async {
        let docker = connect(&host).negotiate_version().await.unwrap();
        let mut labelled = body(&["sh", "-c", "echo one; echo two >&2; exec sleep 1000"]);
        labelled.labels = Some(HashMap::from([("a".into(), "b".into())]));
        labelled.host_config = Some(HostConfig { memory: Some(64 << 20), ..HostConfig::default() });
        let id = create(&docker, "box", labelled).await;
        docker.start_container("box", None::<query::StartContainerOptions>).await.unwrap();

        let seen = docker.inspect_container(&id, None::<query::InspectContainerOptions>).await.unwrap();
        assert_eq!(seen.host_config.unwrap().memory, Some(64 << 20));
        assert!(seen.state.unwrap().running.unwrap());
        let filters = HashMap::from([("label", vec!["a=b"])]);
        let list = query::ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        assert_eq!(docker.list_containers(Some(list)).await.unwrap()[0].id.as_deref(), Some(id.as_str()));

        let logs = query::LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
        let lines: Vec<LogOutput> = docker.logs("box", Some(logs)).take(2).try_collect().await.unwrap();
        assert!(
            lines.iter().any(|line| matches!(line, LogOutput::StdOut { message } if message == "one\n")),
            "{lines:?}"
        );
        assert!(
            lines.iter().any(|line| matches!(line, LogOutput::StdErr { message } if message == "two\n")),
            "{lines:?}"
        );

        let command = vec!["sh", "-c", "cat; echo end >&2; exit 6"];
        let options = CreateExecOptions {
            cmd: Some(command),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = docker.create_exec("box", options).await.unwrap().id;
        let StartExecResults::Attached { output, mut input } =
            docker.start_exec(&exec, None::<StartExecOptions>).await.unwrap()
        else {
            panic!("the exec was to be attached");
        };
        input.write_all(b"through\n").await.unwrap();
        input.shutdown().await.unwrap();
        let pieces: Vec<LogOutput> = output.try_collect().await.unwrap();
        let (out, err): (Vec<_>, Vec<_>) =
            pieces.into_iter().partition(|piece| matches!(piece, LogOutput::StdOut { .. }));
        assert_eq!((text(&out).as_str(), text(&err).as_str()), ("through\n", "end\n"));
        assert_eq!(docker.inspect_exec(&exec).await.unwrap().exit_code, Some(6));

        assert!(docker.top_processes("box", None::<query::TopOptions>).await.unwrap().processes.unwrap().len() == 1);
        let once = query::StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let stats: Vec<_> = docker.stats("box", Some(once)).try_collect().await.unwrap();
        assert!(stats[0].memory_stats.as_ref().unwrap().usage.unwrap() > 0);
        let update = ContainerUpdateBody { memory: Some(80 << 20), memory_swap: Some(-1), ..Default::default() };
        docker.update_container("box", update).await.unwrap();
        docker.pause_container("box").await.unwrap();
        docker.unpause_container("box").await.unwrap();
        docker.rename_container("box", query::RenameContainerOptionsBuilder::new().name("case").build()).await.unwrap();
        docker.kill_container("case", None::<query::KillContainerOptions>).await.unwrap();
        let wait = docker.wait_container("case", None::<query::WaitContainerOptions>).next().await.unwrap();
        assert!(matches!(wait, Err(Error::DockerContainerWaitError { code: 137, .. })), "{wait:?}");
        let force = query::RemoveContainerOptionsBuilder::new().force(true).build();
        docker.remove_container("case", Some(force)).await.unwrap();
        let gone = docker.inspect_container("case", None::<query::InspectContainerOptions>).await.unwrap_err();
        assert!(matches!(gone, Error::DockerResponseServerError { status_code: 404, .. }), "{gone:?}");
    });
}

#[test]
fn attaching_by_upgrade_and_by_websocket() {
    let host = Host::new();
    host.busybox();
    block_on(async {
        let docker = connect(&host);
        for websocket in [false, true] {
            let mut asks = body(&["sh", "-c", "read line; echo got $line"]);
            (asks.open_stdin, asks.stdin_once) = (Some(true), Some(true));
            asks.host_config = Some(HostConfig { auto_remove: Some(true), ..HostConfig::default() });
            let id = create(&docker, "asks", asks).await;
            let options =
                query::AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
            let mut attached = if websocket {
                docker.attach_container_websocket(&id, Some(options)).await.unwrap()
            } else {
                docker.attach_container(&id, Some(options)).await.unwrap()
            };
            docker.start_container(&id, None::<query::StartContainerOptions>).await.unwrap();
            attached.input.write_all(b"this\n").await.unwrap();
            attached.input.flush().await.unwrap();
            let mut said = String::new();
            while let Some(Ok(piece)) = attached.output.next().await {
                said.push_str(&piece.to_string());
            }
            assert_eq!(said, "got this\n", "websocket: {websocket}");
            let removed = query::WaitContainerOptionsBuilder::new().condition("removed").build();
            // It may be gone already; that is what is waited for.
            let _ = docker.wait_container(&id, Some(removed)).next().await;
        }
    });
}

#[test]
fn images_at_a_registry() {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    block_on(async {
        let docker = connect(&host);
        let name = format!("{registry}/lib/box");
        for tag in ["1", "2"] {
            let options = query::TagImageOptionsBuilder::new().repo(&name).tag(tag).build();
            docker.tag_image("busybox", Some(options)).await.unwrap();
            let push = query::PushImageOptionsBuilder::new().tag(tag).build();
            let lines: Vec<_> = docker.push_image(&name, Some(push), None).try_collect().await.unwrap();
            assert!(lines.iter().all(|line| line.error_detail.is_none()), "{lines:?}");
        }
        let remote = docker.inspect_registry_image(&format!("{name}:1"), None).await.unwrap();
        assert!(remote.descriptor.digest.unwrap().starts_with("sha256:"));
        assert_eq!(remote.platforms[0].os.as_deref(), Some("linux"));
        let missing = docker.inspect_registry_image(&format!("{registry}/none"), None).await.unwrap_err();
        assert!(matches!(missing, Error::DockerResponseServerError { status_code: 404, .. }), "{missing:?}");

        // Without a tag, all tags are pulled.
        for tag in ["1", "2"] {
            docker.remove_image(&format!("{name}:{tag}"), None::<query::RemoveImageOptions>, None).await.unwrap();
        }
        let pull = query::CreateImageOptionsBuilder::new().from_image(&name).build();
        let _: Vec<_> = docker.create_image(Some(pull), None, None).try_collect().await.unwrap();
        for tag in ["1", "2"] {
            let image = docker.inspect_image(&format!("{name}:{tag}")).await.unwrap();
            assert!(image.repo_digests.unwrap()[0].starts_with(&name));
        }
        let history = docker.image_history("busybox").await.unwrap();
        assert_eq!(history.len(), 1);
        let search = query::SearchImagesOptionsBuilder::new().term(&format!("{registry}/box")).build();
        let none = docker.search_images(search).await.unwrap_err();
        assert!(none.to_string().contains("has no search"), "{none}");
    });
}

#[test]
fn networks_volumes_and_the_system() {
    let host = Host::new();
    host.busybox();
    block_on(async {
        let docker = connect(&host);
        create(&docker, "box", body(&["sleep", "1000"])).await;
        docker.start_container("box", None::<query::StartContainerOptions>).await.unwrap();
        let network = NetworkCreateRequest { name: "net".into(), ..NetworkCreateRequest::default() };
        docker.create_network(network).await.unwrap();
        let connect = NetworkConnectRequest { container: "box".into(), ..NetworkConnectRequest::default() };
        docker.connect_network("net", connect).await.unwrap();
        let seen = docker.inspect_network("net", None::<query::InspectNetworkOptions>).await.unwrap();
        assert_eq!(seen.containers.unwrap().len(), 1);
        let leave = NetworkDisconnectRequest { container: "box".into(), force: Some(true) };
        docker.disconnect_network("net", leave).await.unwrap();
        docker.remove_network("net").await.unwrap();

        let volume = VolumeCreateRequest { name: Some("vol".into()), ..VolumeCreateRequest::default() };
        assert_eq!(docker.create_volume(volume).await.unwrap().driver, "local");
        let volumes = docker.list_volumes(None::<query::ListVolumesOptions>).await.unwrap().volumes.unwrap();
        assert_eq!(volumes[0].name, "vol");
        docker.remove_volume("vol", None::<query::RemoveVolumeOptions>).await.unwrap();

        assert_eq!(docker.ping().await.unwrap(), "OK");
        assert_eq!(docker.info().await.unwrap().containers_running, Some(1));
        assert!(docker.version().await.unwrap().components.is_some());
        docker.df(None::<query::DataUsageOptions>).await.unwrap();
        let past = query::EventsOptionsBuilder::new().since("0").until("1").build();
        let events: Vec<_> = docker.events(Some(past)).try_collect().await.unwrap();
        assert!(events.is_empty(), "nothing happened in 1970: {events:?}");
    });
}
