//! `docs/interop.md` shows the results of the tests with other stacks.

use netns_tests::interop::matrix;

#[test]
fn the_matrix_is_that_of_the_results() {
    if let Err(error) = matrix::settle_document() {
        panic!("{error}");
    }
}
