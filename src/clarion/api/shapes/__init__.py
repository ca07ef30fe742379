"""The shapes of request and answer bodies; the OpenAPI document is made from them."""
