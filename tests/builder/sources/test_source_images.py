from tfds_rvf10k.sources.source_images import Listing, Problem


def test_a_problem_is_one_line_that_can_be_written_whatever_the_name_holds():
    problem = Problem("a\nb é \udcff.jpg", "cut", "get it again")
    assert str(problem) == "a\\nb é \\udcff.jpg: cut; get it again"
    assert problem.filename.encode()


def test_what_is_no_image_by_name_becomes_a_problem():
    listing = Listing()
    for name in ("a.JPG", "b.png", "c.webp", "\udcff.jpg"):
        listing.add(name, "train", 0)
    assert [image.filename for image in listing.images] == ["a.JPG", "b.png"]
    assert [problem.what for problem in listing.problems] == [
        "its name ends in none of .jpg .jpeg .png", "its name is not UTF-8",
    ]  # fmt: skip


def test_a_problem_that_a_field_of_the_config_allows_names_the_field():
    problem = Problem("a.jpg", "of another size", "remove it", setting="any_size")
    assert problem.text == 'of another size; remove it, or give the config "any_size": true'
