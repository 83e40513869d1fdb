//! One file a verb, under its noun; here is only which is called.

pub mod build;
pub mod checkpoint;
pub mod completion;
pub mod compose;
pub mod container;
pub mod context;
pub mod daemon;
pub mod device;
mod each;
pub mod file;
pub mod gpu;
pub mod image;
pub mod job;
pub mod lab;
pub mod manifest;
pub mod network;
pub mod node;
pub mod plugin;
mod prompt;
pub mod registry;
pub mod service;
pub mod stack;
pub mod swarm;
pub mod system;
pub mod volume;

use super::{
    Context, Outcome,
    args::{
        Command,
        build::{BuilderCommand, BuildxCommand},
        container::ContainerCommand,
        device::{CdiCommand, DeviceCommand},
        file::{ConfigCommand, SecretCommand},
        image::ImageCommand,
        network::NetworkCommand,
        node::NodeCommand,
        service::ServiceCommand,
        stack::StackCommand,
        swarm::{SnapshotCommand, SwarmCommand},
        system::SystemCommand,
        volume::VolumeCommand,
    },
    failure::Failure,
};

/// Carries out a command that needs the daemon.
pub async fn dispatch(cx: &Context, command: Command) -> Outcome {
    use Command as C;
    match command {
        C::Up(args) => Box::pin(compose::up(cx, args)).await,
        C::Down(args) => Box::pin(compose::down(cx, args)).await,
        C::Watch(args) => Box::pin(compose::watch(cx, args)).await,
        C::Compose(args) => Box::pin(compose::run(cx, args)).await,
        C::Container { command } => Box::pin(on_container(cx, command)).await,
        C::Plugin { command } => plugin::run(cx, command).await,
        C::Checkpoint { command } => checkpoint::run(cx, command).await,
        C::Manifest { command } => Box::pin(manifest::run(cx, command)).await,
        C::Job { command } => Box::pin(job::run(cx, command)).await,
        C::Gpu { command } => gpu::run(cx, command).await,
        C::Queue(args) => job::queue(cx, args).await,
        C::Usage(args) => job::usage(cx, args).await,
        C::Run(args) => Box::pin(container::run::run(cx, args)).await,
        C::Create(args) => container::create::run(cx, args).await,
        C::Exec(args) => Box::pin(container::exec::run(cx, args)).await,
        C::Ps(args) => container::ls::run(cx, args).await,
        C::Logs(args) => container::logs::run(cx, args).await,
        C::Start(args) => Box::pin(container::start::run(cx, args)).await,
        C::Stop(args) => container::stop::run(cx, args).await,
        C::Restart(args) => container::restart::run(cx, args).await,
        C::Kill(args) => container::kill::run(cx, args).await,
        C::Pause(args) => container::pause::pause(cx, args).await,
        C::Unpause(args) => container::pause::unpause(cx, args).await,
        C::Wait(args) => container::wait::run(cx, args).await,
        C::Rm(args) => container::rm::run(cx, args).await,
        C::Rename(args) => container::rename::run(cx, args).await,
        C::Update(args) => container::update::run(cx, args).await,
        C::Attach(args) => Box::pin(container::attach::run(cx, args)).await,
        C::Cp(args) => container::cp::run(cx, args).await,
        C::Diff(args) => container::diff::run(cx, args).await,
        C::Export(args) => container::export::run(cx, args).await,
        C::Commit(args) => container::commit::run(cx, args).await,
        C::Inspect(args) => system::inspect::run(cx, args).await,
        C::Top(args) => container::top::run(cx, args).await,
        C::Stats(args) => container::stats::run(cx, args).await,
        C::Port(args) => container::port::run(cx, args).await,
        C::Image { command } => on_image(cx, command).await,
        C::Build(args) => Box::pin(build::run(cx, *args)).await,
        C::Bake(args) => Box::pin(build::bake(cx, *args)).await,
        C::Builder { command } => on_builder(cx, command).await,
        C::Buildx { command } => on_buildx(cx, command).await,
        C::Images(args) => image::ls::run(cx, args).await,
        C::Pull(args) => image::pull::run(cx, args).await,
        C::Push(args) => image::push::run(cx, args).await,
        C::Rmi(args) => image::rm::run(cx, args).await,
        C::Tag(args) => image::tag::run(cx, args).await,
        C::Save(args) => image::save::run(cx, args).await,
        C::Load(args) => image::load::run(cx, args).await,
        C::Import(args) => image::import::run(cx, args).await,
        C::History(args) => image::history::run(cx, args).await,
        C::Search(args) => registry::search::run(cx, args).await,
        C::Login(args) => registry::login::run(cx, args).await,
        C::Logout(args) => registry::logout::run(cx, args),
        C::Network { command } => on_network(cx, command).await,
        C::Volume { command } => on_volume(cx, command).await,
        C::Swarm { command } => on_swarm(cx, command).await,
        C::Node { command } => on_node(cx, command).await,
        C::Device { command } => on_device(cx, command).await,
        C::System { command } => on_system(cx, command).await,
        C::Service { command } => Box::pin(on_service(cx, command)).await,
        C::Stack { command } => Box::pin(on_stack(cx, command)).await,
        C::Secret { command } => on_secret(cx, command).await,
        C::Config { command } => on_config(cx, command).await,
        C::Explain(args) => service::explain::run(cx, args).await,
        C::Info(args) => system::info::run(cx, args).await,
        C::Version(args) => system::version::run(cx, args).await,
        C::Events(args) => system::events::run(cx, args).await,
        C::Context { .. } | C::Lab { .. } | C::Daemon(_) | C::Oci(_) | C::Completion(_) => {
            Err(Failure::new("this command runs without the daemon"))
        }
    }
}

async fn on_container(cx: &Context, command: ContainerCommand) -> Outcome {
    use ContainerCommand as C;
    match command {
        C::Attach(args) => container::attach::run(cx, args).await,
        C::Commit(args) => container::commit::run(cx, args).await,
        C::Cp(args) => container::cp::run(cx, args).await,
        C::Create(args) => container::create::run(cx, args).await,
        C::Diff(args) => container::diff::run(cx, args).await,
        C::Exec(args) => container::exec::run(cx, args).await,
        C::Export(args) => container::export::run(cx, args).await,
        C::Inspect(args) => container::inspect::run(cx, args).await,
        C::Kill(args) => container::kill::run(cx, args).await,
        C::Logs(args) => container::logs::run(cx, args).await,
        C::Ls(args) => container::ls::run(cx, args).await,
        C::Pause(args) => container::pause::pause(cx, args).await,
        C::Port(args) => container::port::run(cx, args).await,
        C::Prune(args) => container::prune::run(cx, args).await,
        C::Rename(args) => container::rename::run(cx, args).await,
        C::Restart(args) => container::restart::run(cx, args).await,
        C::Rm(args) => container::rm::run(cx, args).await,
        C::Run(args) => container::run::run(cx, args).await,
        C::Start(args) => container::start::run(cx, args).await,
        C::Stats(args) => container::stats::run(cx, args).await,
        C::Stop(args) => container::stop::run(cx, args).await,
        C::Top(args) => container::top::run(cx, args).await,
        C::Unpause(args) => container::pause::unpause(cx, args).await,
        C::Update(args) => container::update::run(cx, args).await,
        C::Wait(args) => container::wait::run(cx, args).await,
    }
}

async fn on_image(cx: &Context, command: ImageCommand) -> Outcome {
    use ImageCommand as C;
    match command {
        C::Build(args) => Box::pin(build::run(cx, *args)).await,
        C::History(args) => image::history::run(cx, args).await,
        C::Import(args) => image::import::run(cx, args).await,
        C::Inspect(args) => image::inspect::run(cx, args).await,
        C::Load(args) => image::load::run(cx, args).await,
        C::Ls(args) => image::ls::run(cx, args).await,
        C::Prune(args) => image::prune::run(cx, args).await,
        C::Pull(args) => image::pull::run(cx, args).await,
        C::Push(args) => image::push::run(cx, args).await,
        C::Rm(args) => image::rm::run(cx, args).await,
        C::Save(args) => image::save::run(cx, args).await,
        C::Tag(args) => image::tag::run(cx, args).await,
    }
}

async fn on_builder(cx: &Context, command: BuilderCommand) -> Outcome {
    match command {
        BuilderCommand::Build(args) => Box::pin(build::run(cx, *args)).await,
        BuilderCommand::Prune(args) => build::prune(cx, args).await,
    }
}

async fn on_buildx(cx: &Context, command: BuildxCommand) -> Outcome {
    use BuildxCommand as C;
    match command {
        C::Build(args) => Box::pin(build::run(cx, *args)).await,
        C::Bake(args) => Box::pin(build::bake(cx, *args)).await,
        C::Du(args) => build::du(cx, args).await,
        C::Create(_) => build::refused("create"),
        C::History(_) => build::refused("history"),
        C::Imagetools { command } => Box::pin(build::imagetools(cx, command)).await,
        C::Inspect(args) => build::inspect(cx, args).await,
        C::Ls(args) => build::ls(cx, args),
        C::Prune(args) => build::prune(cx, args).await,
        C::Rm(_) => build::refused("rm"),
        C::Stop(_) => build::refused("stop"),
        C::Use(args) => build::choose(&args),
        C::Version(_) => build::version(cx),
    }
}

async fn on_network(cx: &Context, command: NetworkCommand) -> Outcome {
    use NetworkCommand as C;
    match command {
        C::Connect(args) => network::connect::run(cx, args).await,
        C::Create(args) => network::create::run(cx, args).await,
        C::Disconnect(args) => network::disconnect::run(cx, args).await,
        C::Inspect(args) => network::inspect::run(cx, args).await,
        C::Ls(args) => network::ls::run(cx, args).await,
        C::Prune(args) => network::prune::run(cx, args).await,
        C::Rm(args) => network::rm::run(cx, args).await,
    }
}

async fn on_volume(cx: &Context, command: VolumeCommand) -> Outcome {
    use VolumeCommand as C;
    match command {
        C::Create(args) => volume::create::run(cx, args).await,
        C::Inspect(args) => volume::inspect::run(cx, args).await,
        C::Ls(args) => volume::ls::run(cx, args).await,
        C::Prune(args) => volume::prune::run(cx, args).await,
        C::Rm(args) => volume::rm::run(cx, args).await,
    }
}

async fn on_swarm(cx: &Context, command: SwarmCommand) -> Outcome {
    use SwarmCommand as C;
    match command {
        C::Ca(args) => swarm::ca::run(cx, args).await,
        C::Init(args) => swarm::init::run(cx, args).await,
        C::Join(args) => swarm::join::run(cx, args).await,
        C::JoinToken(args) => swarm::token::run(cx, args).await,
        C::Leave(args) => swarm::leave::run(cx, args).await,
        C::Snapshot { command: SnapshotCommand::Save(args) } => swarm::snapshot::save(cx, args).await,
        C::Snapshot { command: SnapshotCommand::Restore(args) } => swarm::snapshot::restore(cx, args).await,
        C::Unlock => swarm::unlock::run(cx).await,
        C::UnlockKey(args) => swarm::unlock::show(cx, args).await,
        C::Update(args) => swarm::update::run(cx, args).await,
    }
}

async fn on_node(cx: &Context, command: NodeCommand) -> Outcome {
    use NodeCommand as C;
    match command {
        C::Demote(args) => node::role::run(cx, args, "worker").await,
        C::Inspect(args) => node::inspect::run(cx, args).await,
        C::Ls(args) => node::ls::run(cx, args).await,
        C::Promote(args) => node::role::run(cx, args, "manager").await,
        C::Ps(args) => node::ps::run(cx, args).await,
        C::Rm(args) => node::rm::run(cx, args).await,
        C::Update(args) => node::update::run(cx, args).await,
    }
}

async fn on_device(cx: &Context, command: DeviceCommand) -> Outcome {
    use DeviceCommand as C;
    match command {
        C::Cdi { command: CdiCommand::Generate(args) } => device::cdi::generate(cx, args).await,
        C::Cdi { command: CdiCommand::List(args) } => device::cdi::ls(cx, args).await,
        C::Inspect(args) => device::inspect::run(cx, args).await,
        C::Ls(args) => device::ls::run(cx, args).await,
        C::Return(args) => device::aside::take_back(cx, args).await,
        C::SetAside(args) => device::aside::set_aside(cx, args).await,
    }
}

async fn on_system(cx: &Context, command: SystemCommand) -> Outcome {
    use SystemCommand as C;
    match command {
        C::Df(args) => system::df::run(cx, args).await,
        C::Events(args) => system::events::run(cx, args).await,
        C::Info(args) => system::info::run(cx, args).await,
        C::Prune(args) => system::prune::run(cx, args).await,
        C::DialStdio => system::dial_stdio::run(cx).await,
    }
}

async fn on_service(cx: &Context, command: ServiceCommand) -> Outcome {
    use ServiceCommand as C;
    match command {
        C::Create(args) => service::create::run(cx, *args).await,
        C::Inspect(args) => service::inspect::run(cx, args).await,
        C::Logs(args) => service::logs::run(cx, args).await,
        C::Ls(args) => service::ls::run(cx, args).await,
        C::Ps(args) => service::ps::run(cx, args).await,
        C::Rebalance(args) => service::rebalance::run(cx, args).await,
        C::Rm(args) => service::rm::run(cx, args).await,
        C::Rollback(args) => service::rollback::run(cx, args).await,
        C::Scale(args) => service::scale::run(cx, args).await,
        C::Update(args) => service::update::run(cx, *args).await,
    }
}

async fn on_stack(cx: &Context, command: StackCommand) -> Outcome {
    use StackCommand as C;
    match command {
        C::Config(args) => stack::config::run(cx, args),
        C::Deploy(args) => stack::deploy::run(cx, args).await,
        C::Ls(args) => stack::ls::run(cx, args).await,
        C::Ps(args) => stack::ps::run(cx, args).await,
        C::Rm(args) => stack::rm::run(cx, args).await,
        C::Services(args) => stack::services::run(cx, args).await,
    }
}

async fn on_secret(cx: &Context, command: SecretCommand) -> Outcome {
    use SecretCommand as C;
    use file::Kind::Secret as KIND;
    match command {
        C::Create(args) => file::create::run(cx, KIND, args.plain, args.driver).await,
        C::Inspect(args) => file::inspect::run(cx, KIND, args).await,
        C::Ls(args) => file::ls::run(cx, KIND, args).await,
        C::Rm(args) => file::rm::run(cx, KIND, args).await,
        C::Update(args) => file::update::run(cx, KIND, args).await,
    }
}

async fn on_config(cx: &Context, command: ConfigCommand) -> Outcome {
    use ConfigCommand as C;
    use file::Kind::Config as KIND;
    match command {
        C::Create(args) => file::create::run(cx, KIND, args, None).await,
        C::Inspect(args) => file::inspect::run(cx, KIND, args).await,
        C::Ls(args) => file::ls::run(cx, KIND, args).await,
        C::Rm(args) => file::rm::run(cx, KIND, args).await,
        C::Update(args) => file::update::run(cx, KIND, args).await,
    }
}
