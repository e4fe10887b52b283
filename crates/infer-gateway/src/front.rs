//! What every request passes on its way in, and every answer on its way out, whatever its route.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use tower_service::Service;

use crate::cors::{Page, preflight};
use crate::denial::readable;
use crate::routes;
use crate::state::State;

/// All routes, behind what they have in common. Cheap to clone.
///
/// Layers of the router would do the same, at the price of two more boxes around every call.
#[derive(Clone)]
pub(crate) struct Front {
    routes: Router,
    state: Arc<State>,
}

impl Front {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { routes: routes::router(Arc::clone(&state)), state }
    }

    /// Answers a request.
    pub(crate) async fn answer(mut self, request: Request<Body>) -> Response<Body> {
        let page = Page::asking(&self.state, &request);
        let preflight = page.as_ref().and_then(|_| preflight(&request));
        let mut response = match preflight {
            Some(response) => response,
            None => {
                let Ok(response) = self.routes.call(request).await;
                readable(response).await
            }
        };
        if let Some(page) = page {
            page.mark(response.headers_mut());
        }
        response
    }
}

impl Service<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}
