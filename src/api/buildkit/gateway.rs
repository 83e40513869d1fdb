//! The calls of a client that steers its build itself, as `docker buildx build` does: it asks for the build, looks at what
//! came out, and gives it back.

use tonic::{Request, Response, Status};

use super::{
    control::{Made, carry_out, workers},
    solves::Solve,
    words::gateway::{
        Cap, InputsRequest, InputsResponse, PingRequest, PongResponse, Ref, Result as Outcome, ReturnRequest,
        ReturnResponse, SolveRequest, SolveResponse, llb_bridge_server::LlbBridge, result,
    },
};
use crate::api::State;

/// Says which build a call belongs to.
const BUILD: &str = "buildkit-controlapi-buildid";
/// What clients may rely on.
const CAPS: [&str; 6] = ["solve.base", "return", "returnmap", "importcaches", "proto.refarray", "frontend.caps"];

/// What can be made of a build, which clients look up among the capabilities of graphs.
const EXPORTS: [&str; 2] = ["exporter.image.attestations", "exporter.multiple"];

/// The service.
pub struct Gateway {
    pub state: State,
}

impl Gateway {
    async fn solve_of<T>(&self, request: &Request<T>) -> Result<std::sync::Arc<Solve>, Status> {
        let name = request.metadata().get(BUILD).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let solve = self.state.builds.solves.find(&name).await;
        solve.ok_or_else(|| Status::not_found(format!("there is no build {name:?}")))
    }
}

#[tonic::async_trait]
impl LlbBridge for Gateway {
    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        self.solve_of(&request).await?;
        let cap = |id: &str| Cap { id: id.to_owned(), enabled: true };
        Ok(Response::new(PongResponse {
            frontend_caps: CAPS.into_iter().map(cap).collect(),
            llb_caps: EXPORTS.into_iter().map(cap).collect(),
            workers: workers(&self.state),
        }))
    }

    async fn solve(&self, request: Request<SolveRequest>) -> Result<Response<SolveResponse>, Status> {
        let solve = self.solve_of(&request).await?;
        let request = request.into_inner();
        if request.definition.is_some_and(|graph| !graph.def.is_empty()) || !request.frontend_inputs.is_empty() {
            return Err(Status::unimplemented("a client's own graphs (LLB) are not supported: Dockerfiles are"));
        }
        if solve.outcome().is_some() {
            return Err(Status::unimplemented("a second build in one is not supported"));
        }
        let made =
            carry_out(&self.state, &solve, &request.frontend, request.frontend_opt, request.cache_imports).await?;
        let result = match made {
            Made::Built(_) => {
                let made = Ref { id: solve.request.r#ref.clone() };
                Outcome { result: Some(result::Result::Ref(made)), ..Outcome::default() }
            }
            Made::Described(description) => Outcome {
                result: None,
                metadata: [
                    ("result.json", description.json),
                    ("result.txt", description.text),
                    ("result.statuscode", u8::from(description.found).to_string()),
                    ("version", "1.0.0".to_owned()),
                ]
                .map(|(name, text)| (name.to_owned(), text.into_bytes()))
                .into(),
            },
        };
        Ok(Response::new(SolveResponse { result: Some(result) }))
    }

    async fn r#return(&self, request: Request<ReturnRequest>) -> Result<Response<ReturnResponse>, Status> {
        let solve = self.solve_of(&request).await?;
        let failed = request.into_inner().error.filter(|error| error.code != 0 || !error.message.is_empty());
        solve.give_back(failed.map_or(Ok(()), |error| Err(error.message)));
        Ok(Response::new(ReturnResponse {}))
    }

    async fn inputs(&self, request: Request<InputsRequest>) -> Result<Response<InputsResponse>, Status> {
        self.solve_of(&request).await?;
        Ok(Response::new(InputsResponse {}))
    }
}
