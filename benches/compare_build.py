"""The group "build" of benches/compare: image builds beside `docker build` and buildah."""

import glob, json, os, shutil, subprocess, sys, tarfile, time

# What compiling C needs, from the machine's own Debian packages.
COMPILER = """gcc-12 cpp-12 gcc-12-base binutils binutils-x86-64-linux-gnu binutils-common libbinutils libc6-dev libc6 libgcc-12-dev
linux-libc-dev libisl23 libmpc3 libmpfr6 libgmp10 zlib1g libzstd1 libctf0 libctf-nobfd0 libjansson4 libgcc-s1
libc-bin libcc1-0 libstdc++6 libgomp1 libitm1 libatomic1 libquadmath0""".split()

# Five stages, of which the two that compile need nothing of each other and take about as long.
REAL = """FROM COMPILER AS tools
RUN ln -sf gcc-12 /usr/bin/cc && cc --version | head -n1 > /version
FROM tools AS search
COPY lib /src
RUN mkdir /out && cd /src/compress && for f in zstd_lazy zstd_opt zstd_fast zstd_double_fast; do cc -O1 -c $f.c -o /out/$f.o || exit 1; done
FROM tools AS rest
COPY lib /src
RUN mkdir /out && cd /src && for f in common/*.c decompress/*.c dictBuilder/*.c compress/*.c; do case $f in */zstd_lazy.c|*/zstd_opt.c|*fast.c) continue;; esac; cc -O1 -DZSTD_DISABLE_ASM -c $f -o /out/$(basename $f .c).o || exit 1; done
FROM tools AS link
COPY lib/zstd.h lib/zstd_errors.h /src/
COPY main.c /src/main.c
COPY --from=search /out /objects
COPY --from=rest /out /objects
RUN cc -static -I/src /src/main.c /objects/*.o -o /roundtrip && /roundtrip > /result
FROM BUSYBOX
COPY --from=link /roundtrip /bin/roundtrip
COPY --from=link /result /result
CMD ["roundtrip"]
"""

MAIN = """#include <stdio.h>
#include <string.h>
#include "zstd.h"
int main(void) {
    static char in[1 << 20], out[2 << 20], back[1 << 20];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (char)(i * i >> 7);
    size_t n = ZSTD_compress(out, sizeof out, in, sizeof in, 3);
    size_t m = ZSTD_decompress(back, sizeof back, out, n);
    printf("%zu %zu %d\\n", n, m, memcmp(in, back, sizeof in));
    return m != sizeof in || memcmp(in, back, sizeof in) != 0;
}
"""


class Builder:
    """Something that builds a directory into an image."""

    def __init__(self, name, argv, env, base, compiler, prune):
        self.name, self.argv, self.env, self.base, self.compiler, self.prune = name, argv, env, base, compiler, prune


class BuildGroup:
    def builders(self, compiler):
        """Hoist, Docker and buildah, each with the two base images."""
        found = []
        for e in self.engines:
            if e.name == "podman":
                continue
            e.run("import", compiler, "compiler:latest")
            env = {**(e.env or os.environ), "DOCKER_BUILDKIT": "0"}
            prune = lambda e=e: e.run("builder", "prune", "-af")
            if e.name == "docker":
                # The classic builder's cache is its images.
                prune = lambda e=e: (e.run("rmi", "-f", "result", check=False), e.run("image", "prune", "-f"))
            found.append(Builder(e.name, [*e.argv, "build", "-q", "--network", "none", "-t", "result"], env, "busybox", "compiler", prune))
        if shutil.which("buildah") and not self.options.alone:
            roots = ["buildah", "--root", f"{self.work}/buildah", "--runroot", f"{self.work}/run-buildah", "--storage-driver", "overlay"]
            tars = [("localhost/busybox", f"{self.work}/busybox.tar"), ("localhost/compiler", compiler)]
            for name, tar in tars:
                container = self.sh(*roots, "from", "scratch")
                self.sh(*roots, "add", container, tar, "/")
                self.sh(*roots, "commit", "-q", container, name)
                self.sh(*roots, "rm", container)
            # Its fastest way to run a command, which has the host's network.
            argv = [*roots, "build", "-q", "--layers", "--pull-never", "--isolation", "chroot", "-t", "result"]
            prune = lambda: (self.sh(*roots, "rmi", "-f", "result", check=False), self.sh(*roots, "rmi", "--prune", "-f", check=False))
            found.append(Builder("buildah", argv, dict(os.environ), "localhost/busybox", "localhost/compiler", prune))
        return found

    def compiler_tar(self):
        path = f"{self.work}/compiler.tar"
        names = set()
        for package in COMPILER:
            listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
            names.update(listed.stdout.split("\n"))
        names = {name for name in names if name.startswith(("/usr/bin", "/usr/lib", "/usr/include", "/lib", "/lib64")) and not name.startswith("/usr/lib/debug")}
        with tarfile.open(path, "w") as tar, tarfile.open(f"{self.work}/busybox.tar") as box:
            # On Debian the old places are links to those below /usr.
            for link in ["lib", "lib64", "bin"]:
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{link}"
                tar.addfile(entry)
            for name in sorted(names - {"/lib", "/lib64"}):
                if os.path.lexists(name) and (os.path.islink(name) or not os.path.isdir(name)):
                    plain = name if name.startswith("/usr") else f"/usr{name}"
                    tar.add(name, plain.lstrip("/"), recursive=False)
            for member in box.getmembers():
                if member.name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
                    if member.name != "bin":
                        tar.addfile(member)
                    continue
                data = box.extractfile(member) if member.isfile() else None
                member.name = member.name.replace("bin/", "usr/bin/", 1)
                if not os.path.lexists("/" + member.name) or "/" + member.name not in names:
                    tar.addfile(member, data)
        return path

    def build_in(self, builder, folder, dockerfile):
        text = dockerfile.replace("BUSYBOX", builder.base).replace("COMPILER", builder.compiler)
        with open(f"{folder}/Dockerfile", "w") as file:
            file.write(text)
        return self.timed(*builder.argv, folder, env=builder.env)

    def build(self):
        compiler = self.compiler_tar()
        builders = self.builders(compiler)
        self.build_cached(builders)
        self.build_real(builders)
        self.build_copy(builders)

    def build_cached(self, builders):
        """A context of 10,000 files of which nothing changes, and one of which one changes."""
        folder = f"{self.work}/many"
        for number in range(10_000):
            path = f"{folder}/d{number // 100}/f{number}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(f"{number}\n" * 50)
        time.sleep(3)
        dockerfile = "FROM BUSYBOX\nCOPY d1 /one\nCOPY . /all\nRUN ls /all | wc -l > /count\n"
        for builder in builders:
            self.table.add("10,000 files, first build", builder.name, self.build_in(builder, folder, dockerfile) * 1000)
        for number in range(self.options.builds):
            for builder in builders:
                self.table.add("10,000 files, cached rebuild", builder.name, self.build_in(builder, folder, dockerfile) * 1000)
        for builder in builders:
            with open(f"{folder}/d50/f5000", "a") as file:
                file.write("more\n")
            self.table.add("10,000 files, one changed", builder.name, self.build_in(builder, folder, dockerfile) * 1000)

    def build_real(self, builders):
        """zstd's library, from the sources that Cargo keeps, in five stages."""
        home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        sources = sorted(glob.glob(f"{home}/registry/src/*/zstd-sys-*/zstd/lib"))
        if not sources:
            return print("the sources of zstd-sys are not here (cargo fetch): the real program is left out", file=sys.stderr)
        folder = f"{self.work}/real"
        shutil.copytree(sources[-1], f"{folder}/lib")
        with open(f"{folder}/main.c", "w") as file:
            file.write(MAIN)
        for _ in range(max(1, self.options.builds // 2)):
            for builder in builders:
                builder.prune()
                self.table.add("five stages of a real program, nothing cached", builder.name, self.build_in(builder, folder, REAL), "s")

    def build_copy(self, builders):
        """1 GiB that no compression helps, beside what the disk does."""
        folder = f"{self.work}/big"
        os.makedirs(folder, exist_ok=True)
        self.sh("dd", "if=/dev/urandom", f"of={folder}/data", "bs=1M", "count=1024", "status=none")
        metric = "COPY of 1 GiB"
        for number in range(max(1, self.options.builds // 2)):
            self.sh("sync")
            self.table.add(metric, "cp", self.timed("cp", "--reflink=never", f"{folder}/data", f"{self.work}/copied"), "s")
            os.unlink(f"{self.work}/copied")
            self.table.add(metric, "dd with fsync", self.timed("dd", f"if={folder}/data", f"of={self.work}/copied", "bs=1M", "conv=fsync", "status=none"), "s")
            os.unlink(f"{self.work}/copied")
            for builder in builders:
                builder.prune()
                with open(f"{folder}/data", "r+b") as file:
                    file.write(f"{builder.name} {number}".encode())
                self.sh("sync")
                self.table.add(metric, f"{builder.name}, whole build", self.build_in(builder, folder, "FROM BUSYBOX\nCOPY data /data\n"), "s")
