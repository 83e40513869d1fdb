"""What a program written with Docker's Python SDK asks; every step says what it expects."""

import io
import sys
import tarfile
import threading
import time

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

registry = sys.argv[1]
client = docker.from_env(version="auto")


def status(expected, work):
    """Runs what must fail with a status, and returns the message."""
    try:
        work()
    except APIError as error:
        assert error.status_code == expected, (error.status_code, error)
        return error.explanation
    raise AssertionError(f"expected {expected}")


def archive(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def until(probe):
    end = time.time() + 30
    while not probe():
        assert time.time() < end, "waited in vain"
        time.sleep(0.02)


def system():
    assert client.ping()
    assert client.info()["OSType"] == "linux"
    assert client.version()["MinAPIVersion"] == "1.24"
    assert client.plugins.list() == []
    assert "ImageUsage" in client.df() or "Images" in client.df()
    status(503, client.services.list)
    status(401, lambda: client.login("", "", registry=registry))


def runs():
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    try:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 5"], remove=True)
    except ContainerError as error:
        assert error.exit_status == 5 and b"bad" in error.stderr, error
    assert status(404, lambda: client.containers.get("none")).startswith("No such container: none")


def every_option():
    box = client.containers.run(
        "busybox",
        ["sh", "-c", "for n in 1 2 3; do echo line$n; done; exec sleep 1000"],
        name="box",
        detach=True,
        cap_add=["NET_ADMIN"],
        cap_drop=["MKNOD"],
        cpu_shares=512,
        device_cgroup_rules=["c 1:3 rwm"],
        devices=["/dev/null:/dev/nothing:rwm"],
        dns=["192.0.2.1"],
        environment={"X": "1"},
        extra_hosts={"other": "192.0.2.9"},
        group_add=["10"],
        healthcheck={"test": ["CMD", "true"], "interval": 1000000000},
        hostname="inside",
        init=True,
        ipc_mode="shareable",
        labels={"a": "b"},
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m"}),
        mem_limit="64m",
        mounts=[docker.types.Mount("/named", "named", type="volume")],
        oom_score_adj=10,
        pids_limit=50,
        ports={"80/tcp": None, "81/udp": ("127.0.0.1", 8181)},
        read_only=True,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
        security_opt=["no-new-privileges"],
        shm_size="32m",
        stop_signal="SIGKILL",
        sysctls={"net.ipv4.ip_forward": "1"},
        tmpfs={"/scratch": "size=1m"},
        ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
        user="root",
        volumes={"/tmp": {"bind": "/outside", "mode": "ro"}},
        working_dir="/tmp",
    )
    until(lambda: box.logs().count(b"\n") == 3)
    box.reload()
    assert box.status == "running"
    assert box.ports["81/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "8181"}], box.ports
    assert box.logs(tail=1) == b"line3\n"
    assert b"".join(box.logs(stream=True, follow=False)) == b"line1\nline2\nline3\n"
    expected = {
        "hostname": b"inside\n",
        "pwd": b"/tmp\n",
        "sh -c 'ulimit -n'": b"100\n",
        "sh -c 'echo $X'": b"1\n",
        "cat /proc/sys/net/ipv4/ip_forward": b"1\n",
    }
    for command, output in expected.items():
        done = box.exec_run(command)
        assert done.output == output, (command, done)
    assert b"192.0.2.9" in box.exec_run("cat /etc/hosts").output
    return box


def execs(box):
    done = box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert (done.exit_code, done.output) == (3, (b"out\n", b"err\n")), done
    assert b"".join(box.exec_run("echo streamed", stream=True).output) == b"streamed\n"
    assert box.exec_run("tty", tty=True).output == b"/dev/pts/0\r\n"
    socket = box.exec_run("sh", stdin=True, socket=True).output
    socket._sock.sendall(b"echo through; exit\n")
    assert b"through\n" in socket.read(100)


def lives(box):
    assert box.top()["Processes"]
    once = box.stats(stream=False)
    assert once["memory_stats"]["usage"] > 0 and once["precpu_stats"], once
    stream = box.stats(decode=True)
    next(stream)
    assert next(stream)["pids_stats"]["current"] >= 1
    stream.close()
    box.update(mem_limit="80m", memswap_limit="160m", restart_policy={"Name": "no"})
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    box.rename("case")
    box.restart(timeout=0)
    box.kill("SIGKILL")
    assert box.wait()["StatusCode"] == 137
    box.reload()
    assert box.attrs["HostConfig"]["Memory"] == 80 << 20
    box.start()
    box.stop(timeout=0)
    assert [line["Action"] for line in client.events(since=0, until=int(time.time()) + 1, decode=True,
            filters={"container": "case", "event": "rename"})] == ["rename"]


def attaches():
    box = client.containers.create("busybox", ["sh", "-c", "read line; echo got $line; echo err >&2"], stdin_open=True)
    socket = box.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    box.start()
    socket._sock.sendall(b"this\n")
    assert socket.read(64).startswith(b"\1\0\0\0\0\0\0\x09got this\n")
    box.wait()
    box.remove()
    box = client.containers.create("busybox", ["sh", "-c", "echo a; echo b >&2"])
    pieces = box.attach(stream=True, demux=True)
    box.start()
    assert sorted(pieces, key=str) == sorted([(b"a\n", None), (None, b"b\n")], key=str)
    # The stream's end is the container's end.
    box.remove()


def copies():
    box = client.containers.create("busybox", "true")
    assert box.put_archive("/tmp", archive("file", b"abc"))
    pieces, stat = box.get_archive("/tmp/file")
    assert stat["size"] == 3 and stat["name"] == "file"
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert tar.extractfile("file").read() == b"abc"
    status(404, lambda: box.get_archive("/none"))
    assert {"Path": "/tmp/file", "Kind": 1} in box.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(box.export()))) as tar:
        assert tar.getmember("tmp/file")
    image = box.commit("made", "1", message="said", author="me", changes="ENV A=1")
    assert image.tags == ["made:1"] and image.attrs["Config"]["Env"] == ["A=1"], image.attrs
    client.images.remove("made:1")
    box.remove()


def images():
    image = client.images.get("busybox")
    assert image.tag(f"{registry}/lib/box", "1")
    assert client.images.list(name=f"{registry}/lib/box")[0].id == image.id
    pushed = client.images.push(f"{registry}/lib/box", tag="1", stream=True, decode=True)
    lines = list(pushed)
    assert not any("error" in line for line in lines), lines
    data = client.images.get_registry_data(f"{registry}/lib/box:1")
    assert data.id.startswith("sha256:") and data.has_platform("linux/amd64"), data.attrs
    client.images.remove(f"{registry}/lib/box:1")
    assert client.images.pull(f"{registry}/lib/box", tag="1").id == image.id
    saved = b"".join(client.images.get(f"{registry}/lib/box:1").save(named=True))
    client.images.remove(f"{registry}/lib/box:1")
    assert client.images.load(saved)[0].id == image.id
    client.images.remove(f"{registry}/lib/box:1")
    try:
        client.images.get("none")
        raise AssertionError("there is no such image")
    except ImageNotFound:
        pass
    assert image.history()
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] >= 0


def promptly():
    """What is asked at once after a call finds what the call did."""
    api = client.api
    box = client.containers.run("busybox", "sleep 100", detach=True)
    box.kill()
    box.reload()
    assert (box.status, box.attrs["State"]["ExitCode"]) == ("exited", 137), box.attrs["State"]
    box.remove()
    quick = client.containers.create("busybox", ["touch", "/made"])
    quick.start()
    image = quick.commit("quick")
    assert b"/made" in client.containers.run("quick", "ls -d /made", remove=True)
    quick.remove(force=True)
    client.images.remove(image.id, force=True)
    again = client.containers.create("busybox", ["sh", "-c", "exit 3"], restart_policy={"Name": "always"})
    again.start()
    assert again.wait()["StatusCode"] == 3, "the end of a run that another follows"
    message = status(409, again.remove)
    assert "restarting" in message or "running" in message, message
    again.remove(force=True)
    said = client.containers.create("busybox", "echo earlier")
    said.start()
    said.wait()
    assert api.attach(said.id, stream=False, logs=True) == b"earlier\n"
    said.remove()


def environments():
    box = client.containers.create("busybox", "env", environment=["Unset", "Blank=", "A=b"])
    assert [name for name in box.attrs["Config"]["Env"] if not name.startswith("PATH=")] == ["Unset", "Blank=", "A=b"]
    box.remove()


def framed():
    """Who starts an exec says how its output is sent."""
    api = client.api
    box = client.containers.run("busybox", "sleep 100", detach=True)
    created = api.exec_create(box.id, "printf word", tty=True)
    assert api.exec_start(created, demux=True) == (b"word", None)
    created = api.exec_create(box.id, "printf word", tty=True)
    assert api.exec_start(created, tty=True) == b"word"
    box.remove(force=True)


def links():
    """A link on a network is a name of its own for whoever has the other name then."""
    api = client.api
    net = client.networks.create("linked")
    wish = api.create_networking_config({"linked": api.create_endpoint_config(links={"other": "alias"})})
    made = api.create_container("busybox", "sleep 100", networking_config=wish, name="asker",
                                host_config=api.create_host_config(network_mode="linked", init=True))
    asker = client.containers.get(made["Id"])
    asker.start()
    assert asker.exec_run("nslookup alias.").exit_code != 0
    other = client.containers.run("busybox", "sleep 100", name="other", network="linked", detach=True)
    until(lambda: asker.exec_run("nslookup alias.").exit_code == 0)
    late = client.containers.create("busybox", "sleep 100")
    net.connect(late, links=[("other", "second")])
    late.start()
    late.reload()
    assert late.attrs["NetworkSettings"]["Networks"]["linked"]["Links"] == ["other:second"]
    assert late.exec_run("nslookup second.").exit_code == 0
    for box in (asker, other, late):
        box.remove(force=True)
    net.remove()


def services():
    """The SDK writes names of fields small which Docker's clients write large."""
    client.swarm.init("127.0.0.1")
    mode = docker.types.ServiceMode("replicated", 0)
    service = client.services.create("busybox", command="sleep 100", name="small", mode=mode)
    spec = client.services.get(service.id).attrs["Spec"]
    assert spec["Mode"] == {"Replicated": {"Replicas": 0}}, spec["Mode"]
    everywhere = client.services.create("busybox", command="sleep 100", name="everywhere",
                                        mode=docker.types.ServiceMode("global"), constraints=["node.role==worker"])
    assert everywhere.attrs["Spec"]["Mode"] == {"Global": {}}, everywhere.attrs["Spec"]["Mode"]
    for one in (service, everywhere):
        one.remove()
    client.swarm.leave(force=True)


def networks(name):
    box = client.containers.get(name)
    box.start()
    pool = docker.types.IPAMPool(
        subnet="10.77.0.0/24", gateway="10.77.0.1", iprange="10.77.0.128/25", aux_addresses={"other": "10.77.0.130"}
    )
    network = client.networks.create(
        "net", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"l": "1"}, internal=True, check_duplicate=True
    )
    network.connect(box, ipv4_address="10.77.0.140", aliases=["known"])
    network.reload()
    assert len(network.containers) == 1
    box.reload()
    assert box.attrs["NetworkSettings"]["Networks"]["net"]["IPAddress"] == "10.77.0.140"
    assert status(403, network.remove)
    network.disconnect(box)
    network.remove()
    status(404, lambda: client.networks.get("net"))
    client.networks.prune(filters={"until": "10m"})


def volumes():
    volume = client.volumes.create("kept", labels={"k": "v"})
    assert client.volumes.list(filters={"label": "k=v"}) == [volume]
    volume.remove()
    try:
        client.volumes.get("kept")
        raise AssertionError("it was removed")
    except NotFound:
        pass


def events():
    seen = []
    stream = client.events(decode=True, filters={"type": "container", "event": ["start", "die"]})
    reader = threading.Thread(target=lambda: seen.extend(iter(stream)), daemon=True)
    reader.start()
    until(lambda: reader.is_alive())
    client.containers.run("busybox", "true", remove=True)
    until(lambda: [event["Action"] for event in seen] == ["start", "die"])
    stream.close()


system()
runs()
box = every_option()
execs(box)
lives(box)
attaches()
copies()
images()
networks("case")
promptly()
environments()
framed()
links()
services()
volumes()
events()
client.containers.get("case").remove(force=True, v=True)
client.volumes.get("named").remove()
client.containers.prune(filters={"until": "1h"})
