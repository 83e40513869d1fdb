//! From what was typed to a request for the queue.

use std::{collections::BTreeMap, time::Duration};

use hoist_manager::control::one_off;
use hoist_proto::{
    clock::Timestamp,
    spec::{
        ArrayRequest, ContainerSpec, JobCheckpoint, JobCondition, JobDependency, JobLayout, JobRequest, JobResources,
        JobSpec, JobWarning, Resources, RestartPolicy,
    },
    unit,
};

use super::script;
use crate::{
    api::{translate, version::ApiVersion},
    cli::{
        Context,
        args::job::{JobFlags, SubmitFlags},
        commands::compose::{self, ProjectArgs},
        failure::Failure,
        spec::{self, Surroundings},
    },
};

/// Flags that say what becomes of a container in ways that the queue decides for a job.
fn refuse_what_the_queue_decides(flags: &SubmitFlags) -> Result<(), Failure> {
    let lifecycle = &flags.lifecycle;
    let wrong = [
        (lifecycle.rm, "--rm", "a job's containers stay until it is removed: hoist job rm"),
        (lifecycle.restart.is_some(), "--restart", "a job is started again by --retries"),
        (lifecycle.cidfile.is_some(), "--cidfile", "a job may wait before it has a container"),
    ];
    match wrong.into_iter().find(|(given, ..)| *given) {
        Some((_, flag, why)) => Err(Failure::usage(format!("{flag} is not for jobs: {why}"))),
        None => Ok(()),
    }
}

/// The request that the flags make.
pub fn request(cx: &Context, flags: &SubmitFlags) -> Result<JobRequest, Failure> {
    let mut flags = flags.clone();
    if let Some(path) = flags.job.script.clone() {
        let text = fs_err::read_to_string(&path)?;
        let (lines, command) = script::read(&path.display().to_string(), &text)?;
        flags = over(lines, flags);
        let image = flags.job.image.clone().ok_or_else(|| {
            Failure::usage(format!("{} names no image: add a line #HOIST --image IMAGE", path.display()))
        })?;
        if !flags.words.is_empty() {
            return Err(Failure::usage("a script is the command: no image or command can follow"));
        }
        flags.words = [vec![image], command].concat();
        if flags.lifecycle.name.is_none() {
            flags.lifecycle.name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        }
    } else if let Some(image) = flags.job.image.clone() {
        flags.words.insert(0, image);
    }
    refuse_what_the_queue_decides(&flags)?;
    let mut container = match &flags.job.service {
        Some(service) => of_service(cx, &flags, service)?,
        None if flags.words.is_empty() => {
            return Err(Failure::usage("a job needs an image, --script or --service")
                .hint("hoist job submit --help shows examples"));
        }
        None => given(&flags)?,
    };
    let each = take_resources(&mut container.resources)?;
    let spec = job_spec(&flags, container, each)?;
    let array = flags.job.array.as_deref().map(array).transpose()?;
    Ok(JobRequest { spec, array, hold: flags.job.hold, user: flags.job.for_user.clone() })
}

/// What was typed goes over what the script says.
fn over(lines: SubmitFlags, typed: SubmitFlags) -> SubmitFlags {
    let default = JobFlags { tasks: 1, layout: "packed".into(), ..JobFlags::default() };
    let JobFlags { constraints, after, file, .. } = typed.job.clone();
    let mut job = lines.job;
    let t = typed.job;
    if t.tasks != default.tasks {
        job.tasks = t.tasks;
    }
    if t.layout != default.layout {
        job.layout = t.layout;
    }
    if t.priority != 0 {
        job.priority = t.priority;
    }
    if t.retries != 0 {
        job.retries = t.retries;
    }
    job.constraints.extend(constraints);
    job.after.extend(after);
    job.file.extend(file);
    job.hold |= t.hold;
    job.checkpoint |= t.checkpoint;
    job.no_overlap |= t.no_overlap;
    job.catch_up |= t.catch_up;
    for (mine, theirs) in [
        (&mut job.partition, t.partition),
        (&mut job.project, t.project),
        (&mut job.time, t.time),
        (&mut job.grace, t.grace),
        (&mut job.checkpoint_dir, t.checkpoint_dir),
        (&mut job.signal, t.signal),
        (&mut job.begin, t.begin),
        (&mut job.deadline, t.deadline),
        (&mut job.array, t.array),
        (&mut job.cron, t.cron),
        (&mut job.zone, t.zone),
        (&mut job.for_user, t.for_user),
        (&mut job.image, t.image),
    ] {
        if theirs.is_some() {
            *mine = theirs;
        }
    }
    let mut merged = SubmitFlags { job, words: typed.words, ..lines };
    merged.process.env.extend(typed.process.env);
    merged.process.env_files.extend(typed.process.env_files);
    merged.storage.volume.extend(typed.storage.volume);
    merged.storage.mount.extend(typed.storage.mount);
    merged.lifecycle.name = typed.lifecycle.name.or(merged.lifecycle.name);
    merged.resources.gpus = typed.resources.gpus.or(merged.resources.gpus);
    merged.process.workdir = typed.process.workdir.or(merged.process.workdir);
    merged.process.user = typed.process.user.or(merged.process.user);
    merged
}

/// The container as `hoist run` reads its flags.
fn given(flags: &SubmitFlags) -> Result<ContainerSpec, Failure> {
    let mut create = flags.create();
    // The name is the job's; each attempt's containers have names of their own.
    create.lifecycle.name = None;
    let config = spec::container(&create, &Surroundings::real())?;
    let query = translate::create::Query { name: None, platform: create.lifecycle.platform.as_deref() };
    let translated = translate::create::container(query, config, ApiVersion::NEWEST)
        .map_err(|error| Failure::usage(error.message))?;
    Ok(translated.spec)
}

/// A compose service's container, with the command that was typed.
fn of_service(cx: &Context, flags: &SubmitFlags, service: &str) -> Result<ContainerSpec, Failure> {
    let args = ProjectArgs { files: flags.job.file.clone(), ..ProjectArgs::default() };
    let project = compose::load(cx, &args)?;
    let project = project.with_targets_enabled(&[service.to_owned()]).map_err(|error| Failure::from_error(&error))?;
    let read = |path: &str| fs_err::read(path).map_err(|error| error.to_string());
    let made = one_off(&project, service, "job", read).map_err(|problems| Failure::new(problems.join("\n")))?;
    let mut container = made.container;
    container.name = String::new();
    container.restart = RestartPolicy::No;
    container.labels.remove("com.docker.compose.oneoff");
    container.labels.remove("com.docker.compose.slug");
    container.labels.remove("com.docker.compose.container-number");
    // The project's networks are there only while it is up; a job of several tasks gets one of its own.
    container.networks.clear();
    container.ports.clear();
    if !flags.words.is_empty() {
        container.command = Some(flags.words.clone());
    }
    let mut typed = flags.clone();
    typed.words = vec![container.image.clone()];
    let over = given(&typed)?;
    container.env.extend(over.env);
    container.mounts.retain(|mount| over.mounts.iter().all(|new| new.target != mount.target));
    container.mounts.extend(over.mounts);
    container.tty |= over.tty;
    container.open_stdin |= over.open_stdin;
    container.stdin_once = container.open_stdin;
    container.user = over.user.or(container.user);
    container.working_dir = over.working_dir.or(container.working_dir);
    if !over.resources.device_requests.is_empty() {
        container.resources.device_requests = over.resources.device_requests;
    }
    container.resources.nano_cpus = over.resources.nano_cpus.or(container.resources.nano_cpus);
    container.resources.memory = over.resources.memory.or(container.resources.memory);
    Ok(container)
}

/// What the queue counts, out of the container's resources: the devices go to the scheduler.
fn take_resources(resources: &mut Resources) -> Result<JobResources, Failure> {
    let mut devices: BTreeMap<String, u32> = BTreeMap::new();
    let mut requests = Vec::new();
    for request in std::mem::take(&mut resources.device_requests) {
        if request.count == Some(-1) {
            return Err(Failure::usage("a job asks for a number of devices, such as --gpus 2, or for these ones")
                .hint("--layout whole-nodes takes nodes with all their devices"));
        }
        let plain = request.device_ids.is_empty()
            && request.options.is_empty()
            && (request.driver.is_none() || request.capabilities.is_empty())
            && request.capabilities.iter().flatten().count() <= 1;
        if !plain {
            requests.push(request);
            continue;
        }
        let kind = request.capabilities.iter().flatten().next().cloned().or(request.driver);
        let kind = kind.unwrap_or_else(|| "gpu".to_owned());
        let count = u32::try_from(request.count.unwrap_or(0)).unwrap_or(u32::MAX);
        *devices.entry(kind).or_default() += count;
    }
    Ok(JobResources {
        nano_cpus: resources.reserved_nano_cpus.or(resources.nano_cpus).unwrap_or(0),
        memory: resources.reserved_memory.or(resources.memory).unwrap_or(0),
        devices,
        requests,
    })
}

fn job_spec(flags: &SubmitFlags, container: ContainerSpec, each: JobResources) -> Result<JobSpec, Failure> {
    let job = &flags.job;
    let layout: JobLayout = serde_json::from_value(job.layout.clone().into()).map_err(|_| {
        Failure::usage(format!("--layout {:?} is none of packed, one-node and whole-nodes", job.layout))
    })?;
    let duration = |flag: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| unit::parse_duration(text).map_err(|error| Failure::usage(format!("--{flag}: {error}"))))
            .transpose()
    };
    let named = flags.lifecycle.name.clone().or(job.service.clone());
    let name = named.unwrap_or_else(|| short_name(&container.image));
    Ok(JobSpec {
        name,
        project: job.project.clone(),
        partition: job.partition.clone(),
        priority: job.priority,
        container,
        tasks: job.tasks,
        each,
        layout,
        constraints: job.constraints.clone(),
        time_limit: duration("time", &job.time)?,
        warning: job.signal.as_deref().map(warning).transpose()?,
        grace: duration("grace", &job.grace)?,
        retries: job.retries,
        checkpoint: job.checkpoint.then(|| JobCheckpoint { dir: job.checkpoint_dir.clone() }),
        depends: job.after.iter().map(|text| dependency(text)).collect::<Result<_, _>>()?,
        begin: job.begin.as_deref().map(|text| moment("begin", text)).transpose()?,
        deadline: job.deadline.as_deref().map(|text| moment("deadline", text)).transpose()?,
        labels: BTreeMap::new(),
    })
}

/// `USR1`, `USR1@5m`; a bare number after the `@` is seconds, as `sbatch` has it.
fn warning(text: &str) -> Result<JobWarning, Failure> {
    let (signal, before) = text.split_once('@').unwrap_or((text, "60"));
    let before = match before.parse::<u64>() {
        Ok(seconds) => std::time::Duration::from_secs(seconds),
        Err(_) => {
            unit::parse_duration(before).map_err(|error| Failure::usage(format!("--signal {text:?}: {error}")))?
        }
    };
    if signal.is_empty() {
        return Err(Failure::usage(format!("--signal {text:?} is not SIGNAL or SIGNAL@DURATION, such as USR1@5m")));
    }
    Ok(JobWarning { signal: signal.to_owned(), before })
}

/// `trainer` of `lab.example/vision/trainer:2`.
fn short_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@']).next().unwrap_or(last).to_owned()
}

/// `12`, `success:12`, `failure:12`, `end:12`.
fn dependency(text: &str) -> Result<JobDependency, Failure> {
    let fail = || Failure::usage(format!("--after {text:?} is not JOB, success:JOB, failure:JOB or end:JOB"));
    let (how, job) = text.split_once(':').unwrap_or(("success", text));
    let when = match how {
        "success" => JobCondition::Success,
        "failure" => JobCondition::Failure,
        "end" => JobCondition::End,
        _ => return Err(fail()),
    };
    Ok(JobDependency { job: job.parse().map_err(|_| fail())?, when })
}

/// `1-20`, `1,4,9`, `0-30:10`, each with `%N`.
fn array(text: &str) -> Result<ArrayRequest, Failure> {
    const MOST: u32 = 100_000;
    let fail = || Failure::usage(format!("--array {text:?} is not like 1-20, 1,4,9 or 0-30:10, with %N at the end"));
    let (list, at_once) = match text.split_once('%') {
        Some((list, at_once)) => (list, at_once.parse().ok().filter(|n| *n > 0).ok_or_else(fail)?),
        None => (text, 0),
    };
    let mut indices: Vec<u32> = Vec::new();
    for part in list.split(',') {
        let (range, step) = part.split_once(':').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(fail)?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) =
            (first.trim().parse().map_err(|_| fail())?, last.trim().parse().map_err(|_| fail())?);
        if first > last || (last - first) / u32::try_from(step).unwrap_or(u32::MAX) >= MOST {
            return Err(fail());
        }
        indices.extend((first..=last).step_by(step));
    }
    indices.sort_unstable();
    indices.dedup();
    Ok(ArrayRequest { indices, at_once })
}

/// A date and time, or a duration from now.
fn moment(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>()
        && let Ok(zoned) = local.to_zoned(jiff::tz::TimeZone::system())
    {
        return Ok(zoned.timestamp());
    }
    let span: Option<Duration> = unit::parse_duration(text).ok();
    span.and_then(|span| Timestamp::now().checked_add(span).ok()).ok_or_else(|| {
        Failure::usage(format!("--{flag} {text:?} is neither a date and time (2026-12-24T18:00) nor a duration (90m)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read() {
        assert_eq!(array("1-3,7%2").unwrap(), ArrayRequest { indices: vec![1, 2, 3, 7], at_once: 2 });
        assert_eq!(array("0-30:10").unwrap().indices, [0, 10, 20, 30]);
        for wrong in ["", "3-1", "1-x", "1%0", "1-3:0", "0-4000000000", "-1"] {
            assert!(array(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn plain_devices_are_counted_and_others_asked_for_as_they_are() {
        let request = |options: &[(&str, &str)]| hoist_proto::spec::DeviceRequest {
            count: Some(2),
            capabilities: vec![vec!["gpu".into()]],
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Default::default()
        };
        let asked = |request| take_resources(&mut Resources { device_requests: vec![request], ..Default::default() });
        let plain = asked(request(&[])).unwrap();
        assert_eq!((plain.devices["gpu"], plain.requests.len()), (2, 0));
        let typed = asked(request(&[("model", "h100")])).unwrap();
        assert_eq!((typed.devices.len(), typed.requests[0].what().as_str()), (0, "gpu with model=h100"));
        let all = hoist_proto::spec::DeviceRequest { count: Some(-1), ..request(&[]) };
        assert!(asked(all).unwrap_err().to_string().contains("number of devices"));
    }

    #[test]
    fn dependencies_and_names_are_read() {
        assert_eq!(dependency("12").unwrap(), JobDependency { job: 12, when: JobCondition::Success });
        assert_eq!(dependency("end:3").unwrap().when, JobCondition::End);
        assert!(dependency("never:3").is_err());
        assert_eq!(short_name("lab.example:5000/vision/trainer:2"), "trainer");
        assert!(moment("begin", "2026-12-24T18:00").is_ok() && moment("begin", "90m").is_ok());
        assert!(moment("begin", "soon").is_err());
    }
}
