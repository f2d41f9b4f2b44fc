"""Small clusters of the product's machines, in every order in which things can happen to them."""
