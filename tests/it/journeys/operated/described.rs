//! `/openapi.json`, held against what the program answers.

use reqwest::Method;

use crate::support::program::{Home, TOKEN};

#[tokio::test]
async fn whatever_the_document_describes_is_answered_and_asks_for_a_token() {
    let home = Home::new("");
    let program = home.serve().await;
    let (status, document) = program.operate_without_token("/openapi.json").await;
    assert_eq!(status, 200, "the document needs no token: {document}");
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for name in item.as_object().expect("operations").keys() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).expect("a method");
            // An id that there is none of is answered in JSON too.
            let url = format!("{}{}", program.address, path.replace("{id}", "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg"));
            let status =
                async |request: reqwest::RequestBuilder| request.send().await.expect("an answer").status().as_u16();
            assert_eq!(status(program.asking(method.clone(), &url)).await, 401, "{name} {path} without a token");
            let told = status(program.asking(method, &url).bearer_auth(TOKEN)).await;
            assert!(!matches!(told, 401 | 403 | 405 | 501), "{name} {path}: {told}");
            count += 1;
        }
    }
    assert!(count >= 4, "{document}");
    program.stop().await;
}
