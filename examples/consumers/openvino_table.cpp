// Print the findings of a radiograph with OpenVINO and libpng: openvino_table MODEL.onnx IMAGE.png (8-bit gray)
#include <openvino/openvino.hpp>
#include <png.h>
#include <regex>

int main(int, char** arguments) {
    ov::Core core;
    auto model = core.read_model(arguments[1]);
    auto network = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32)).create_infer_request();
    png_image picture{nullptr, PNG_IMAGE_VERSION};
    png_image_begin_read_from_file(&picture, arguments[2]);
    ov::Tensor pixels(ov::element::u8, {picture.height, picture.width});
    png_image_finish_read(&picture, nullptr, pixels.data(), 0, nullptr);
    network.set_tensor("image", pixels);
    network.infer();
    const float* probability = network.get_tensor("probability").data<float>();
    auto names = model->get_rt_info<std::string>("framework", "classes");
    for (std::smatch name; std::regex_search(names, name, std::regex("\"(.*?)\"")); names = name.suffix())
        std::printf("%-20s%.6f\n", name.str(1).c_str(), *probability++);
}
