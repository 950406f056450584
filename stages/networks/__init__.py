"""Networks: TF-Slim architectures, graphs, pre-trained weights, and the table that lists them."""
