//! `pre_start`: each step of a service becomes a service of its own, a job that runs to completion, that waits for
//! the step before it and that the service waits for. So steps are placed, started, restarted by a change and told
//! of exactly as all services are (05-services.md, pre_start).

use std::collections::BTreeMap;

use hoist_compose::model::{
    Dependency, DependencyCondition, Deploy, Extensions, Healthcheck, PreStart, Project, RestartPolicy, Service,
};

/// On a step's containers: the service that it prepares.
const PRE_START_OF: &str = "hoist.pre_start.of";
/// On a step's containers: the definition of that service, which runs its steps again when it changes.
const DEFINITION: &str = "hoist.pre_start.definition";

/// The service that this one prepares, when it is a step.
pub(crate) fn owner(step: &hoist_proto::spec::Service) -> Option<&String> {
    step.spec.task.container.labels.get(PRE_START_OF)
}

/// Whether the service is a step that prepares this one, or comes before it in the same preparation.
pub(crate) fn is_step_of(project: &Project, step: &str, service: &Service) -> bool {
    let prepared = service.labels.get(PRE_START_OF).unwrap_or(&service.name);
    project.services.get(step).and_then(|step| step.labels.get(PRE_START_OF)) == Some(prepared)
}

/// Adds the steps of all services to a project; answers the names of each service's steps.
///
/// # Errors
/// Names of steps that are taken by services of the file.
pub(crate) fn expand(project: &mut Project) -> Result<BTreeMap<String, Vec<String>>, Vec<String>> {
    let mut steps_of = BTreeMap::new();
    let mut problems = Vec::new();
    let with_steps: Vec<Service> =
        project.services.values().filter(|service| !service.pre_start.is_empty()).cloned().collect();
    for service in with_steps {
        let definition = project.config_hash(&service);
        let image = project.image_of(&service);
        let mut names: Vec<String> = Vec::new();
        for (index, step) in service.pre_start.iter().enumerate() {
            let name = format!("{}-pre_start-{}", service.name, index + 1);
            if project.services.contains_key(&name) || project.disabled_services.contains_key(&name) {
                problems.push(format!(
                    "service {:?}: pre_start[{index}] runs as {name:?}, and the file has a service of that name",
                    service.name
                ));
            }
            let mut made = as_service(&service, step, &name, &image);
            made.labels.insert(PRE_START_OF.into(), service.name.clone());
            made.labels.insert(DEFINITION.into(), definition.clone());
            if let Some(before) = names.last() {
                made.depends_on.insert(before.clone(), completed());
            }
            project.services.insert(name.clone(), made);
            names.push(name);
        }
        if let (Some(last), Some(owner)) = (names.last(), project.services.get_mut(&service.name)) {
            owner.depends_on.insert(last.clone(), completed());
        }
        steps_of.insert(service.name.clone(), names);
    }
    if problems.is_empty() { Ok(steps_of) } else { Err(problems) }
}

fn completed() -> Dependency {
    Dependency {
        condition: DependencyCondition::ServiceCompletedSuccessfully,
        restart: false,
        required: true,
        extensions: Extensions::default(),
    }
}

/// What the step shares with its service stays: networks, mounts, environment, limits. What would make it look like
/// the service goes: its ports, addresses, names, health and way of restarting.
fn as_service(service: &Service, step: &PreStart, name: &str, image: &str) -> Service {
    let mut made = service.clone();
    made.name = name.to_owned();
    made.image = Some(step.image.clone().unwrap_or_else(|| image.to_owned()));
    made.build = None;
    made.command.clone_from(&step.command);
    made.entrypoint = None;
    made.user = step.user.clone().or(service.user.clone().filter(|_| step.image.is_none()));
    made.working_dir = step.working_dir.clone().or(service.working_dir.clone());
    made.privileged = step.privileged;
    made.environment.extend(step.environment.clone());
    for network in made.networks.values_mut().flatten() {
        network.aliases.clear();
        network.link_local_ips.clear();
        (network.ipv4_address, network.ipv6_address, network.mac_address) = (None, None, None);
    }
    made.healthcheck = Some(Healthcheck { disable: true, ..Healthcheck::default() });
    let resources = service.deploy.clone().unwrap_or_default();
    made.deploy = Some(Deploy {
        mode: Some("replicated-job".into()),
        replicas: Some(1),
        restart_policy: Some(RestartPolicy { condition: Some("none".into()), ..RestartPolicy::default() }),
        resources: resources.resources,
        placement: resources.placement,
        ..Deploy::default()
    });
    (made.scale, made.restart, made.container_name, made.develop) = (None, None, None, None);
    (made.hostname, made.mac_address) = (None, None);
    (made.tty, made.stdin_open) = (false, false);
    made.ports.clear();
    made.expose.clear();
    made.profiles.clear();
    made.pre_start.clear();
    made.post_start.clear();
    made.pre_stop.clear();
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Project {
        hoist_compose::load_str(text, &hoist_compose::LoadOptions::new("/")).unwrap().project
    }

    #[test]
    fn steps_run_one_after_the_other_and_before_their_service() {
        let mut project = load(
            "name: demo\nservices:\n  db:\n    image: pg\n  web:\n    image: app\n    user: www\n    ports: ['80:80']\n    \
             depends_on: [db]\n    environment: {A: '1'}\n    pre_start:\n      - command: [migrate]\n        \
             environment: {B: '2'}\n      - image: busybox\n        command: chown x\n",
        );
        let steps = expand(&mut project).unwrap();
        assert_eq!(steps["web"], ["web-pre_start-1", "web-pre_start-2"]);
        let first = &project.services["web-pre_start-1"];
        assert_eq!((first.image.as_deref(), first.user.as_deref()), (Some("app"), Some("www")));
        assert_eq!(first.command.as_deref(), Some(&["migrate".to_owned()][..]));
        assert_eq!(first.environment.len(), 2);
        assert!(first.ports.is_empty() && first.depends_on.contains_key("db"));
        let second = &project.services["web-pre_start-2"];
        assert_eq!((second.image.as_deref(), second.user.as_deref()), (Some("busybox"), None));
        let waits = |name: &str, other: &str| project.services[name].depends_on[other].condition;
        assert_eq!(waits("web-pre_start-2", "web-pre_start-1"), DependencyCondition::ServiceCompletedSuccessfully);
        assert_eq!(waits("web", "web-pre_start-2"), DependencyCondition::ServiceCompletedSuccessfully);
        assert_eq!(project.dependency_order().unwrap().names().next_back(), Some("web"));
    }

    #[test]
    fn a_step_changes_with_its_service() {
        let text = |command: &str| {
            format!(
                "name: d\nservices:\n  web:\n    image: app\n    command: {command}\n    pre_start:\n      - command: x\n"
            )
        };
        let hash = |text: String| {
            let mut project = load(&text);
            expand(&mut project).unwrap();
            project.config_hash(&project.services["web-pre_start-1"])
        };
        assert_ne!(hash(text("a")), hash(text("b")));
        assert_eq!(hash(text("a")), hash(text("a")));
    }

    #[test]
    fn a_name_that_is_taken_is_told() {
        let mut project = load(
            "name: d\nservices:\n  web-pre_start-1:\n    image: x\n  web:\n    image: app\n    pre_start:\n      - command: x\n",
        );
        let problems = expand(&mut project).unwrap_err();
        assert!(problems[0].contains("has a service of that name"), "{problems:?}");
    }
}
