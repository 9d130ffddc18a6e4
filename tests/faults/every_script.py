"""Run every script of the project on small data in one process, and print the network addresses it tried to reach.

    python tests/faults/every_script.py FOLDER [--as_on_windows]

With `--as_on_windows`, the scripts run twice in the same folder, and do without what Windows lacks
(`tests/support/as_on_windows.py`). It prints one line for each name look-up and connection requested by Python code,
except to this machine, and one line for each script that fails. Only strace detects requests of compiled code.
"""

import importlib.util
import os
import shutil
import signal
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def watch(event: str, arguments: tuple) -> None:
    """Print the network requests of the interpreter. An audit hook; it cannot be removed."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        foreign = isinstance(address, tuple) and address[0] not in LOOPBACK
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"):
        foreign = not str(arguments[0]).strip("()',").startswith(LOOPBACK)
    else:
        return
    if foreign:
        print_line(f"{event} {arguments}")


def print_line(line: str) -> None:
    os.write(3, f"{line}\n".encode())


def run(path: str, *arguments: object) -> None:
    spec = importlib.util.spec_from_file_location(f"script_{Path(path).stem}", ROOT / path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    if code := script.main(list(map(str, arguments))):
        print_line(f"{path} ended with {code}")


def serve(ckpt: Path) -> None:
    """Serve the page, open it once and stop the server by a signal."""
    from chexnet import web

    def ready(address: str) -> None:
        def visit() -> None:
            urllib.request.urlopen(f"{address}v1/model").read()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=visit).start()

    original = web.serve
    web.serve = lambda service, config, listener, _, log: original(service, config, listener, ready, log)
    spec = importlib.util.spec_from_file_location("script_serve", ROOT / "tools/serve.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    if (code := script.main(["--ckpt", str(ckpt), "--port", "0"])) != 143:
        print_line(f"tools/serve.py ended with {code}")
    web.serve = original


def run_node(ckpt: Path, folder: Path) -> None:
    """Run the DICOM node, whose peer does not answer, and stop it by a signal as soon as it listens."""
    from chexnet.web import dicom_service

    original = dicom_service.DicomNode.wait
    dicom_service.DicomNode.wait = lambda node: os.kill(os.getpid(), signal.SIGTERM)
    spec = importlib.util.spec_from_file_location("script_dicom_node", ROOT / "tools/dicom_node.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    flags = ("--peer", "ARCHIVE@127.0.0.1:1", "--spool", folder / "spool", "--port", "0", "--ckpt", ckpt)
    if (code := script.main(list(map(str, flags)))) != 143:
        print_line(f"tools/dicom_node.py ended with {code}")
    dicom_service.DicomNode.wait = original


def main(folder: Path) -> None:
    data, save, lists = folder / "data", folder / "save", folder / "data" / "labels"
    train, val, test = (lists / f"{name}_list.txt" for name in ("train", "val", "test"))
    run("tools/make_phantom.py", "--output_dir", data, "--images", 60, "--size", 40, "--min_prevalence", 0.2)
    images = data / "images"
    first = sorted(images.iterdir())[0]
    (folder / "own.csv").write_text("name,patient,Mass\n" + "".join(f"{n}.png,{n},{n % 2}\n" for n in range(20)))
    columns = ("--image_column", "name", "--patient_column", "patient", "--label_columns", "Mass")
    own = ("--csv", folder / "own.csv", *columns, "--split", "random")
    run("tools/prepare_lists.py", *own, "--output_dir", folder / "lists")
    run("tools/audit_split.py", train, val, test, "--data_dir", images)
    run(
        "tools/build_cache.py",
        "--data_dir",
        images,
        "--lists",
        train,
        val,
        "--output_dir",
        folder / "cache",
        "--resize",
        36,
    )
    small = ("--resize", 36, "--crop", 32, "--batch_size", 8, "--device", "cpu", "--backbone", "lenet")
    run_flags = ("--data_dir", images, "--train_list", train, "--val_list", val, "--save_dir", save, "--init", "random")
    run("train.py", *run_flags, *small, "--epoch", 1, "--decay_epochs", "", "--image_cache", folder / "cache")
    ckpt = save / "best_model.pdparams"
    outputs = ("--output_json", folder / "result.json", "--output_dir", folder / "report")
    run("eval.py", "--data_dir", images, "--test_list", test, "--ckpt", ckpt, "--device", "cpu", *outputs)
    run("tools/report.py", "--predictions", folder / "report" / "predictions.csv", "--output_dir", folder / "report2")

    run("tools/plan_test.py", "--list", test)
    run("tools/compare_labels.py", "--labels", test, "--reference", test)

    from chexnet.inference import engines

    installed = [name for name in ("openvino", "onnxruntime", "paddle") if not engines.why_unavailable(name)]
    for name in installed:
        ten = (first, "--ckpt", ckpt, "--engine", name, "--crops", 10, "--device", "cpu")
        run("predict.py", *ten, "--cam", folder / f"cam_{name}", "--output_json", folder / f"{name}.json")
    for export_format in ["paddle"] + ["onnx"] * ("onnxruntime" in installed):
        run(
            "tools/export.py",
            "--ckpt",
            ckpt,
            "--output_dir",
            folder / f"export_{export_format}",
            "--format",
            export_format,
        )
    worker = ROOT / "chexnet" / "web" / "worker" / "node_modules" / "esbuild"
    if "onnxruntime" in installed and worker.is_dir() and shutil.which("node"):
        run("tools/build_page.py", "--ckpt", ckpt, "--crops", 10, "--output_dir", folder / "page")
    run("tools/release_weights.py", "--ckpt", ckpt, "--output", folder / "released.safetensors")
    run("tools/model_card.py", "--ckpt", ckpt, "--train_list", train)
    run("tools/make_phantom.py", "--output_dir", folder / "pairs", "--pairs", 2, "--size", 40)
    pairs = ("--pairs", folder / "pairs" / "pairs.csv", "--output_dir", folder / "shortcuts")
    run("tools/shortcuts.py", "--ckpt", ckpt, "--crops", 1, "--device", "cpu", *pairs)
    boxes = next(data.rglob("*[Bb][Oo][Xx]*.csv"))
    run("tools/localize.py", "--boxes", boxes, "--data_dir", images, "--test_list", test, "--ckpt", ckpt)
    run("tools/contact_sheet.py", first, "--ckpt", ckpt, "--output", folder / "sheet.png", "--device", "cpu")
    run("predict.py", first, "--ckpt", ckpt, "--device", "cpu", "--embeddings", folder / "features.npy")
    serve(ckpt)
    if importlib.util.find_spec("highdicom") and importlib.util.find_spec("pynetdicom"):
        run_node(ckpt, folder)
    if importlib.util.find_spec("torch"):
        from chexnet.model import CheXNet, checkpoint

        checkpoint.save(CheXNet().state_dict(), folder / "whole.pdparams")
        run("convert_torch_weights.py", "--reverse", folder / "whole.pdparams", "--output", folder / "torch.pth")
        run("convert_torch_weights.py", "--torch_ckpt", folder / "torch.pth", "--output", folder / "back.pdparams")


if __name__ == "__main__":
    os.dup2(os.dup(1), 3)  # for print_line; the output of the scripts goes to standard error
    os.dup2(2, 1)
    sys.addaudithook(watch)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    if "--as_on_windows" in sys.argv:
        import as_on_windows

        as_on_windows.apply()
        main(Path(sys.argv[1]))
    main(Path(sys.argv[1]))
