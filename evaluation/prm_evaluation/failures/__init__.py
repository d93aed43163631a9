"""Why objects are missed and predictions are wrong: causes, counts and pictures of them."""
